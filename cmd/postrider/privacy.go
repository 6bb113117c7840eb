package main

import (
	"fmt"

	"github.com/postrider-mta/postrider/daemon/admin/api"
)

type privacyCommand struct {
	Find    privacyFindCommand    `cmd:"" help:"Count what each store keeps of a person."`
	Export  privacyExportCommand  `cmd:"" help:"Print what is kept of a person, a JSON object a line."`
	Rectify privacyRectifyCommand `cmd:"" help:"Correct a person's address where it is kept."`
	Erase   privacyEraseCommand   `cmd:"" help:"Erase a person; only a keyed hash stays, so that they stay unmailed."`
}

type subjectArguments struct {
	Address string `arg:"" help:"The person's address."`
	Tenant  string `help:"The tenant who knows them." default:"default"`
}

func (s subjectArguments) request() api.SubjectRequest {
	return api.SubjectRequest{Tenant: s.Tenant, Address: s.Address}
}

type privacyFindCommand struct{ subjectArguments }

func (c privacyFindCommand) Run(e *environment) error { return e.duty("find", c.request()) }

type privacyEraseCommand struct{ subjectArguments }

func (c privacyEraseCommand) Run(e *environment) error { return e.duty("erase", c.request()) }

type privacyRectifyCommand struct {
	subjectArguments
	To string `help:"The correct address." required:""`
}

func (c privacyRectifyCommand) Run(e *environment) error {
	request := c.request()
	request.To = c.To
	return e.duty("rectify", request)
}

type privacyExportCommand struct{ subjectArguments }

func (c privacyExportCommand) Run(e *environment) error {
	client := e.client()
	defer client.Close()
	return client.Export(e.ctx, c.request(), e.out)
}

func (e *environment) duty(name string, request api.SubjectRequest) error {
	client := e.client()
	defer client.Close()
	report, err := client.Subject(e.ctx, name, request)
	if err != nil {
		return err
	}
	if e.json {
		return e.printJSON(report)
	}
	for _, store := range report.Stores {
		fmt.Fprintf(e.out, "%s: %d\n", store.Store, store.Records)
	}
	return nil
}
