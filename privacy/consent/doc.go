// Package consent keeps what each reader allows to be measured, and the day on
// which each opened something last where no more than that may be kept. It
// answers from memory, and what it answered is on disk.
package consent
