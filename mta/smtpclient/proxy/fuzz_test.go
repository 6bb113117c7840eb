package proxy

import (
	"bytes"
	"net/netip"
	"testing"
)

// answers is a proxy that says the same whatever it is told.
type answers struct{ *bytes.Reader }

func (answers) Write(p []byte) (int, error) { return len(p), nil }

// FuzzAnswers holds that no answer makes the client panic, read what belongs
// to the target, or accept what is no success.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		"", "\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x19220 hello\r\n",
		"\x05\x02\x01\x00\x05\x00\x00\x03\x05proxy\x00\x19220 hello\r\n",
		"\x05\x02\x01\x01", "\x05\xff", "\x05\x00\x05\x05\x00\x01", "220 mx ESMTP\r\n",
		"\x05\x00\x05\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x12\x34",
	} {
		f.Add([]byte(seed), true, false)
		f.Add([]byte(seed), false, true)
	}
	target := netip.MustParseAddrPort("192.0.2.9:25")
	f.Fuzz(func(t *testing.T, said []byte, login, bind bool) {
		p := &Proxy{ipv4: netip.MustParseAddr("192.0.2.1"), bind: bind}
		if login {
			username, password := "jane", "hunter2"
			p.credentials = credentials{&username, &password}
		}
		stream := answers{bytes.NewReader(said)}
		if p.greet(stream, target) != nil {
			return
		}
		before := stream.Len()
		bound, err := exchange(stream, commandConnect, target, Target)
		if err != nil {
			return
		}
		reply := said[len(said)-before:]
		if reply[0] != 5 || reply[1] != 0 {
			t.Fatalf("taken for success: % x", reply)
		}
		want := map[byte]int{typeIPv4: 10, typeIPv6: 22}[reply[3]]
		if reply[3] == typeDomain {
			want = 7 + int(reply[4])
		}
		if read := before - stream.Len(); read != want {
			t.Fatalf("%d octets read of a reply of %d", read, want)
		}
		if bound.IsValid() == (reply[3] == typeDomain) {
			t.Fatalf("bound to %v", bound)
		}
	})
}
