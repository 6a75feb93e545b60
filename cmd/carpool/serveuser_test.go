package main

import "testing"

func TestUserThatIsNone(t *testing.T) {
	err := becomeUser("nobody-of-that-name")
	if want := `user: the system has no user "nobody-of-that-name"`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if err := becomeUser(""); err != nil {
		t.Error(err)
	}
}
