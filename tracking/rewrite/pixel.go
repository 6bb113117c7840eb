package rewrite

import (
	"cmp"
	"slices"

	"github.com/postrider-mta/postrider/internal/mimetree"
)

// Placeholder is the comment in whose place an author gets the pixel, white
// space inside it aside: <!-- postrider:pixel -->.
const Placeholder = "postrider:pixel"

func insertPixel(edits []mimetree.Edit, found survey, url string) []mimetree.Edit {
	tag := append([]byte(`<img src="`), escape(url, '"')...)
	tag = append(tag, `" width="1" height="1" alt="" style="border:0">`...)
	edit := mimetree.Edit{Start: found.pixelAt, End: found.pixelEnd, New: tag}
	// The pixel is never inside a tag, where the other edits are.
	at, _ := slices.BinarySearchFunc(edits, edit, func(a, b mimetree.Edit) int { return cmp.Compare(a.Start, b.Start) })
	return slices.Insert(edits, at, edit)
}
