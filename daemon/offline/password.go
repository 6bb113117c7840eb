package offline

import "github.com/postrider-mta/postrider/mta/submission/password"

// HashPassword returns the argon2id hash of a credential's password in PHC
// string format, with a new random salt.
func HashPassword(plain string) string { return password.Hash(plain) }
