//go:build !linux

package main

func unnamedFile() (*certificate, error) { return namedFile() }
