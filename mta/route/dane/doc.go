// Package dane judges certificates by TLSA records, as mail between servers
// asks for (RFC 6698, RFC 7671, RFC 7672). It is pure: whoever uses it looks
// the records up and knows that they are authentic.
package dane
