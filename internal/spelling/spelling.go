// Package spelling measures how far a mistyped name is from a known one.
package spelling

// Distance counts the single-octet edits that lead from a to b (Levenshtein).
// It takes time in proportion to the product of their lengths, which callers
// bound.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
