package tracking

import (
	"net/http"
	"strconv"

	"github.com/postrider-mta/postrider/tracking/hit"
)

// pixel is a transparent GIF of one by one pixel, in 43 octets.
const pixel = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" +
	"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"

// open answers with the pixel.
func (t *Tracker) open(w http.ResponseWriter, r *http.Request, sealed string) int {
	of, err := t.openPixel(sealed)
	if err == nil {
		t.record(r, hit.Open, of, "")
	} else if !t.noteOpen(r, sealed) {
		return notFound(w)
	}
	w.Header().Set("Content-Type", "image/gif")
	w.Header().Set("Content-Length", strconv.Itoa(len(pixel)))
	if r.Method != http.MethodHead {
		w.Write([]byte(pixel)) // the reader may have gone; nobody is left to tell
	}
	return http.StatusOK
}
