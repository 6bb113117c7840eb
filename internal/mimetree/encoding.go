package mimetree

// SetEncoding returns the edits that give part the transfer encoding named: in
// place of the field it has, or as a new field behind its header. The root of a
// message needs MIME-Version for the field to mean anything.
func (p *Part) SetEncoding(name, lineBreak string, root bool) []Edit {
	h := p.Header
	var edits []Edit
	for _, f := range h.Find("Content-Transfer-Encoding") {
		edits = append(edits, Edit{f.Colon + 1, f.End, []byte(" " + name + lineBreak)})
	}
	var fields string
	if len(edits) == 0 {
		fields = "Content-Transfer-Encoding: " + name + lineBreak
	}
	if root && len(h.Find("MIME-Version")) == 0 {
		fields = "MIME-Version: 1.0" + lineBreak + fields
	}
	if fields == "" {
		return edits
	}
	return append(edits, Edit{h.End, h.End, []byte(fields)})
}
