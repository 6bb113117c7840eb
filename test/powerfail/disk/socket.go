package disk

import "strings"

// connected takes note of a new connection, or of a socket that may become one.
func (t *tracer) connected(c *call) {
	delete(t.files, c.result)
	t.connections++
	t.sockets[c.result] = t.connections
}

// read takes what came over a connection, and moves the offset of a file.
func (t *tracer) read(c *call) error {
	fd, err := c.number(0)
	if err != nil || c.result <= 0 {
		return err
	}
	if d := t.files[fd]; d != nil {
		d.offset += c.result
		return nil
	}
	connection := t.sockets[fd]
	if connection == 0 {
		return nil
	}
	data, err := c.octets(1)
	if err == nil {
		data = data[:min(int64(len(data)), c.result)]
		t.steps = append(t.steps, Step{Action: Heard, Offset: connection, Data: data})
	}
	return err
}

// bind gives a unix socket its name.
func (t *tracer) bind(c *call) error {
	address := c.argument(1)
	if !strings.HasPrefix(address, "{sa_family=AF_UNIX, sun_path=\"") {
		return nil
	}
	p, inside, err := t.place(c, -1, 1)
	if err != nil || !inside {
		return err
	}
	inode := t.names.create(p, Socket)
	t.step(c, Step{Action: Enter, Inode: p.directory, Name: p.name, Child: inode, Kind: Socket})
	return nil
}
