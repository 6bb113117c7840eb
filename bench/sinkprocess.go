package main

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/postrider-mta/postrider/internal/testmx"
)

// sinkCommand is the hidden argument that makes this program the sink: a
// process of its own, so that its processor time is known apart.
const sinkCommand = "sink"

// The two processes talk in lines of JSON.
type (
	// sinkPlan says where to listen: all on the same port.
	sinkPlan struct {
		// Addresses take messages and forget them; Probe keeps one.
		Addresses []string
		Probe     string
	}
	sinkReady struct{ Port int }
	// sinkQuestion asks to answer when there are so many messages, or when the
	// time is over.
	sinkQuestion struct {
		Messages int64
		// Probe asks for the kept message instead.
		Probe  bool
		Within time.Duration
	}
	sinkAnswer struct {
		Messages int64
		At       time.Time
		Probe    []byte
	}
)

// look is how often the sink reads its counter; a rate is wrong by no more.
const look = time.Millisecond

// runSink is the sink's process: it ends with its input.
func runSink(in io.Reader, out io.Writer) error {
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	var plan sinkPlan
	if err := questions.Decode(&plan); err != nil {
		return err
	}
	counting := testmx.New(testmx.Options{})
	keeping := testmx.New(testmx.Options{Keep: true})
	defer counting.Close()
	defer keeping.Close()
	port, err := listenAll(plan, counting, keeping)
	if err != nil {
		return err
	}
	if err := answers.Encode(sinkReady{port}); err != nil {
		return err
	}
	for {
		var q sinkQuestion
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := answers.Encode(q.answer(counting, keeping)); err != nil {
			return err
		}
	}
}

// listenAll finds a port that is free on all addresses.
func listenAll(plan sinkPlan, counting, keeping *testmx.Server) (int, error) {
	var err error
	for range 20 {
		var listeners []net.Listener
		port := 0
		for _, address := range append([]string{plan.Probe}, plan.Addresses...) {
			var l net.Listener
			if l, err = net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port))); err != nil {
				break
			}
			listeners = append(listeners, l)
			port = l.Addr().(*net.TCPAddr).Port
		}
		if err == nil {
			go func() { _ = keeping.Serve(listeners[0]) }() // both end by Close
			for _, l := range listeners[1:] {
				go func() { _ = counting.Serve(l) }()
			}
			return port, nil
		}
		for _, l := range listeners {
			_ = l.Close()
		}
	}
	return 0, err
}

func (q sinkQuestion) answer(counting, keeping *testmx.Server) sinkAnswer {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for end := time.Now().Add(q.Within); ; <-ticker.C {
		a := sinkAnswer{At: time.Now()}
		if q.Probe {
			if kept := keeping.Messages(); len(kept) > 0 {
				a.Messages, a.Probe = int64(len(kept)), kept[0].Data
				return a
			}
		} else if a.Messages = counting.Counters().Messages; a.Messages >= q.Messages {
			return a
		}
		if a.At.After(end) {
			return a
		}
	}
}
