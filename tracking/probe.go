package tracking

import (
	"net/http"
	"strconv"
)

// probe proves that the tracker holds the keys the question was made with.
func (t *Tracker) probe(w http.ResponseWriter, _ *http.Request, sealed string) int {
	proof, err := t.keys.Prove(sealed)
	if err != nil {
		return notFound(w)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(proof)))
	w.Write([]byte(proof)) // to HEAD net/http sends no body; who left asks again
	return http.StatusOK
}
