package bulk

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// clipped is how much HTML Gmail shows before "[Message clipped]".
const clipped = 102 << 10

// content is what there is to read of a message.
type content struct {
	// texts are the parts for readers, decoded.
	texts [][]byte
	// html counts octets.
	html int
	// whole is false where something could not be read: it might say anything.
	whole bool
}

// contentOf reads a message when it is first asked for.
func contentOf(message []byte) func() content {
	return sync.OnceValue(func() content {
		root, err := mimetree.Parse(message, mimetree.Options{})
		if err != nil {
			return content{}
		}
		c := content{whole: true}
		c.add(message, root)
		return c
	})
}

func (c *content) add(message []byte, p *mimetree.Part) {
	for _, child := range p.Children {
		c.add(message, child)
	}
	switch {
	case p.Type == "multipart/encrypted":
		c.whole = false
	case p.Type != "text/html" && p.Type != "text/plain", p.Disposition == "attachment":
		return
	}
	if p.Multipart() {
		return
	}
	decoded, err := p.Content(message)
	if err != nil {
		c.whole = false
		return
	}
	if p.Type == "text/html" {
		c.html += len(decoded.Bytes)
	}
	c.texts = append(c.texts, decoded.Bytes)
	// In others, words beyond ASCII are not found.
	c.whole = c.whole && (p.Charset == "" || p.Charset == "us-ascii" || p.Charset == "utf-8")
}

func (c content) htmlSize() string {
	if c.html <= clipped {
		return ""
	}
	return fmt.Sprintf("the HTML has %d octets, of which Gmail shows %d: make it shorter", c.html, clipped)
}

// waysOut are what links to leave are called, or lead to, in the languages of
// many readers; in lower case. None is so short that it stands in other words.
func waysOut() []string {
	return []string{
		"unsub", "opt-out", "optout", "opt out", "email preferences", "manage preferences",
		"abmeld", "abbestellen", "austragen", // German, Norwegian
		"désabonner", "désinscri", "desabonner", "desinscri", "d&eacute;sabonner", "d&eacute;sinscri", // French
		"darse de baja", "darte de baja", "cancelar la suscripci", "anular la suscripci", "cancelar suscripci", // Spanish
		"cancelar a subscri", "cancelar inscri", "descadastr", "cancelar subscri", // Portuguese
		"annulla l'iscrizione", "disiscri", "cancella iscrizione", "cancellati", // Italian
		"uitschrijven", "afmeld", "avregistrera", "avprenumerera", "peruuta tilaus", // Dutch, Danish, Swedish, Finnish
		"wypisz", "rezygnuj", "odhlásit", "odhlásiť", "leiratkoz", "dezabon", // Polish, Czech, Slovak, Hungarian, Romanian
		"отпис", "відпис", "διαγραφ", "aboneliği iptal", "abonelikten", // Russian, Ukrainian, Greek, Turkish
		"配信停止", "退订", "退訂", "取消订阅", "取消訂閱", "수신거부", "수신 거부", "إلغاء الاشتراك", "הסר",
	}
}

// unsubscribeLink looks for a way out in the text. It cannot tell whether
// readers see it.
func (c content) unsubscribeLink() string {
	if !c.whole {
		return ""
	}
	for _, text := range c.texts {
		// The second costs five times the first, and is hardly ever needed.
		if hasWayOut(lowerASCII(text)) || hasWayOut(bytes.ToLower(text)) {
			return ""
		}
	}
	return "nothing in the text looks like a link to unsubscribe: put one where readers see it"
}

func hasWayOut(text []byte) bool {
	return slices.ContainsFunc(waysOut(), func(word string) bool { return bytes.Contains(text, []byte(word)) })
}

func lowerASCII(text []byte) []byte {
	lower := make([]byte, len(text))
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	return lower
}
