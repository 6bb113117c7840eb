package config

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Size is a number of octets.
type Size int64

// Units of Size.
const (
	KB Size = 1000
	MB      = 1000 * KB
	GB      = 1000 * MB
)

// Rate is a number of messages in a time; the zero Rate is no limit.
type Rate struct {
	Messages int
	Per      time.Duration
}

var errValue = errors.New("malformed value")

// splitUnit cuts the leading decimal number off s.
func splitUnit(s string) (number float64, unit, rest string, err error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789."))
	number, err = strconv.ParseFloat(s[:digits], 64)
	if err != nil {
		return 0, "", "", errValue
	}
	letters := len(s[digits:]) - len(strings.TrimLeft(s[digits:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
	return number, s[digits : digits+letters], s[digits+letters:], nil
}

// ParseDuration reads numbers with the units ms, s, m, h and d, largest first,
// such as 5d, 4h or 1m30s.
func ParseDuration(s string) (time.Duration, error) {
	units := map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": day,
	}
	var total float64
	last := time.Duration(math.MaxInt64)
	for rest := s; rest != "" || s == ""; {
		number, name, more, err := splitUnit(rest)
		unit, known := units[name]
		if err != nil || !known || unit >= last {
			return 0, fmt.Errorf("%w: duration", errValue)
		}
		total += number * float64(unit)
		last, rest = unit, more
	}
	if total >= math.MaxInt64 {
		return 0, fmt.Errorf("%w: duration", errValue)
	}
	return time.Duration(total), nil
}

// ParseSize reads a number with one of the units B, KB, MB, GB (powers of
// 1000), KiB, MiB, GiB (powers of 1024).
func ParseSize(s string) (Size, error) {
	units := map[string]Size{
		"B": 1, "KB": KB, "MB": MB, "GB": GB, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
	}
	number, name, rest, err := splitUnit(s)
	unit, known := units[name]
	if err != nil || !known || rest != "" || number*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("%w: size", errValue)
	}
	return Size(number * float64(unit)), nil
}

// ParseRate reads N/s, N/min or N/hour; the empty string is no limit.
func ParseRate(s string) (Rate, error) {
	if s == "" {
		return Rate{}, nil
	}
	units := map[string]time.Duration{"s": time.Second, "min": time.Minute, "hour": time.Hour}
	count, name, _ := strings.Cut(s, "/")
	n, err := strconv.ParseUint(count, 10, 31)
	per, known := units[name]
	if err != nil || n < 1 || !known {
		return Rate{}, fmt.Errorf("%w: rate", errValue)
	}
	return Rate{Messages: int(n), Per: per}, nil
}

func parseMode(s string) (fs.FileMode, error) {
	mode, err := strconv.ParseUint(s, 8, 32)
	if err != nil || mode > 0o777 || len(s) < 3 {
		return 0, fmt.Errorf("%w: mode", errValue)
	}
	return fs.FileMode(mode), nil
}

// parsePrefix reads a network, or an address as the network of it alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if prefix.Masked() != prefix {
		return netip.Prefix{}, fmt.Errorf("%w: bits set behind the prefix", errValue)
	}
	return prefix, nil
}

// parseInt reads a whole number as TOML writes it; the library has refused
// leading zeros.
func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 0, strconv.IntSize)
	return int(n), err
}
