package main

import (
	"errors"
	"fmt"

	"github.com/postrider-mta/postrider/daemon/config"
)

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Read a configuration file and report every mistake in it."`
}

type configCheckCommand struct {
	File string `arg:"" help:"Configuration file."`
}

func (c configCheckCommand) Run(e *environment) error {
	_, err := config.Load(c.File)
	var problems config.Errors
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	if err := e.reportConfiguration(c.File, problems); err != nil || len(problems) == 0 {
		return err
	}
	return fmt.Errorf("%s: %s", c.File, count(len(problems), "mistake"))
}

func (e *environment) reportConfiguration(file string, problems config.Errors) error {
	if e.json {
		return e.printJSON(presentProblems(file, problems))
	}
	for _, problem := range problems {
		fmt.Fprintln(e.out, problem)
	}
	if len(problems) == 0 {
		fmt.Fprintf(e.out, "%s: ok\n", file)
	}
	return nil
}

// configurationReport is the answer as JSON.
type configurationReport struct {
	File     string                 `json:"file"`
	OK       bool                   `json:"ok"`
	Problems []configurationProblem `json:"problems"`
}

type configurationProblem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

func presentProblems(file string, problems config.Errors) configurationReport {
	report := configurationReport{File: file, OK: len(problems) == 0, Problems: []configurationProblem{}}
	for _, p := range problems {
		report.Problems = append(report.Problems, configurationProblem(p))
	}
	return report
}

// count puts a number before a word, in the plural where it is not one.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
