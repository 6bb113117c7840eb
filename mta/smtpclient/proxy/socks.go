package proxy

import (
	"fmt"
	"io"
	"net/netip"
	"syscall"
)

// The numbers of RFC 1928 and RFC 1929.
const (
	socksVersion = 5

	methodNone     = 0
	methodPassword = 2
	methodRefused  = 0xff

	passwordVersion = 1

	commandConnect = 1
	commandBind    = 2

	typeIPv4   = 1
	typeDomain = 3
	typeIPv6   = 4
)

// greet leads the dialogue up to the request for the target.
func (p *Proxy) greet(proxy io.ReadWriter, target netip.AddrPort) error {
	if err := p.authenticate(proxy); err != nil {
		return err
	}
	if !p.bind {
		return nil
	}
	_, err := exchange(proxy, commandBind, netip.AddrPortFrom(p.source(target), 0), SourceAddress)
	return err
}

// authenticate agrees on a method (RFC 1928 section 3) and logs in.
func (p *Proxy) authenticate(proxy io.ReadWriter) error {
	greeting := []byte{socksVersion, 1, methodNone}
	if p.credentials.given() {
		greeting = []byte{socksVersion, 2, methodNone, methodPassword}
	}
	if _, err := proxy.Write(greeting); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(proxy, answer[:]); err != nil {
		return err
	}
	switch method := answer[1]; {
	case answer[0] != socksVersion:
		return &Error{Step: Greeting, Err: fmt.Errorf("%w: version %d", ErrProtocol, answer[0])}
	case method == methodNone:
		return nil
	case method == methodPassword && p.credentials.given():
		return p.credentials.present(proxy)
	case method == methodRefused:
		return &Error{Step: Greeting, Err: ErrMethod}
	default:
		return &Error{Step: Greeting, Err: fmt.Errorf("%w: method %d, which was not offered", ErrProtocol, method)}
	}
}

// present logs in by RFC 1929.
func (c credentials) present(proxy io.ReadWriter) error {
	request := []byte{passwordVersion, byte(len(*c.username))}
	request = append(request, *c.username...)
	request = append(request, byte(len(*c.password)))
	request = append(request, *c.password...)
	if _, err := proxy.Write(request); err != nil {
		return err
	}
	var answer [2]byte
	if _, err := io.ReadFull(proxy, answer[:]); err != nil {
		return err
	}
	switch {
	case answer[0] != passwordVersion:
		return &Error{Step: Authentication, Err: fmt.Errorf("%w: version %d", ErrProtocol, answer[0])}
	case answer[1] != 0:
		return &Error{Step: Authentication, Code: answer[1], Err: ErrCredentials}
	}
	return nil
}

// exchange sends a request (RFC 1928 section 4) and returns the address in its
// reply. It reads not one octet more: the target may speak first.
func exchange(proxy io.ReadWriter, command byte, address netip.AddrPort, step Step) (netip.AddrPort, error) {
	if _, err := proxy.Write(request(command, address)); err != nil {
		return netip.AddrPort{}, err
	}
	var head [2]byte
	if _, err := io.ReadFull(proxy, head[:]); err != nil {
		return netip.AddrPort{}, unanswered(step, err)
	}
	switch {
	case head[0] != socksVersion:
		return netip.AddrPort{}, &Error{Step: Request, Err: fmt.Errorf("%w: version %d", ErrProtocol, head[0])}
	case head[1] != 0:
		return netip.AddrPort{}, refusal(step, head[1])
	}
	bound, err := readAddress(proxy)
	if err != nil {
		return netip.AddrPort{}, unanswered(Request, err)
	}
	return bound, nil
}

func request(command byte, address netip.AddrPort) []byte {
	octets := []byte{socksVersion, command, 0, typeIPv4}
	if address.Addr().Is6() {
		octets[3] = typeIPv6
	}
	octets = append(octets, address.Addr().AsSlice()...)
	return append(octets, byte(address.Port()>>8), byte(address.Port()))
}

// unanswered blames the proxy for a connection that it ends without a reply.
// One that is silent still waits for the target, most likely.
func unanswered(step Step, err error) error {
	if cause := plain(err); cause != syscall.ETIMEDOUT {
		return &Error{Step: Request, Err: cause}
	}
	return &Error{Step: step, Err: syscall.ETIMEDOUT}
}

// refusal turns a reply code (RFC 1928 section 6) into an error, of the words
// that a connection of our own would have failed with. A general failure is
// taken for the target's: many servers give no other, and a source that is left
// alone for one dead host would be worse than a site that is for a dead proxy.
func refusal(step Step, code byte) error {
	e := &Error{Step: step, Code: code}
	switch code {
	case 1:
		e.Err = fmt.Errorf("%w: general failure", ErrRefused)
	case 2:
		e.Step, e.Err = Request, fmt.Errorf("%w: not allowed by its rules", ErrRefused)
	case 3:
		e.Err = syscall.ENETUNREACH
	case 4:
		e.Err = syscall.EHOSTUNREACH
	case 5:
		e.Err = syscall.ECONNREFUSED
	case 6:
		e.Err = syscall.ETIMEDOUT
	case 7:
		e.Step, e.Err = Request, fmt.Errorf("%w: command not supported", ErrRefused)
	case 8:
		e.Step, e.Err = Request, fmt.Errorf("%w: address type not supported", ErrRefused)
	default:
		e.Step, e.Err = Request, fmt.Errorf("%w: code %d", ErrProtocol, code)
	}
	if step == SourceAddress {
		e.Step = SourceAddress
	}
	return e
}

// readAddress reads the rest of a reply: a reserved octet, an address and a
// port. The address is not valid where it is a name.
func readAddress(proxy io.Reader) (netip.AddrPort, error) {
	var head [2]byte
	if _, err := io.ReadFull(proxy, head[:]); err != nil {
		return netip.AddrPort{}, err
	}
	size := 0
	switch head[1] {
	case typeIPv4:
		size = 4
	case typeIPv6:
		size = 16
	case typeDomain:
		var length [1]byte
		if _, err := io.ReadFull(proxy, length[:]); err != nil {
			return netip.AddrPort{}, err
		}
		size = int(length[0])
	default:
		return netip.AddrPort{}, fmt.Errorf("%w: address type %d", ErrProtocol, head[1])
	}
	rest := make([]byte, size+2)
	if _, err := io.ReadFull(proxy, rest); err != nil {
		return netip.AddrPort{}, err
	}
	port := uint16(rest[size])<<8 | uint16(rest[size+1])
	if head[1] == typeDomain {
		return netip.AddrPort{}, nil
	}
	addr, _ := netip.AddrFromSlice(rest[:size])
	return netip.AddrPortFrom(addr.Unmap(), port), nil
}
