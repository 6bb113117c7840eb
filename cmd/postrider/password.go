package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/postrider-mta/postrider/daemon/offline"
)

type passwordCommand struct{}

// Run reads one line, so that the password is in no argument list and no shell
// history, and prints its hash.
func (passwordCommand) Run(e *environment) error {
	line, err := e.secret("Password: ")
	password := strings.TrimRight(line, "\r\n")
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return err
	case password == "":
		return errors.New("no password on standard input")
	}
	hash := offline.HashPassword(password)
	if e.json {
		return e.printJSON(struct {
			Hash string `json:"password_hash"`
		}{hash})
	}
	_, err = fmt.Fprintln(e.out, hash)
	return err
}

// secret reads one line; from a terminal without showing it.
func (e *environment) secret(prompt string) (string, error) {
	file, ok := e.in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return bufio.NewReader(e.in).ReadString('\n')
	}
	fmt.Fprint(e.errors, prompt)
	line, err := term.ReadPassword(int(file.Fd()))
	fmt.Fprintln(e.errors)
	return string(line), err
}
