package inputs

import (
	"encoding/json"
	"fmt"
	"io"
)

// Secret is text that no print statement gives away: String, every verb of fmt and JSON show *** in
// its place. It must stand in exported fields only, since fmt reads the others without asking.
type Secret string

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s) }

// String returns *** for everything but the empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// Format writes String whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalJSON writes String.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }
