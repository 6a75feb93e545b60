// Package lecture is the benchmark of the lecture that carpool's own follows: calls of get_books() from a Python program, with
// psycopg2 and SQLAlchemy. The program, lecture.py, is a worker like package worker's: it gets the same Job, speaks the same
// lines over standard input and output, and answers with the same Result. It knows less: Check says what.
//
//  1. Find looks for a Python that has psycopg2.
//  2. Command writes the program to a directory and says how to run it: a command for a worker.Group.
//  3. Rows are the lecture's table, and what it lacked.
package lecture
