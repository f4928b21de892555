package remote

import (
	"io"
	"time"
)

// SetGrace is for commands whose end must come before that of their grace.
func (c *Client) SetGrace(d time.Duration) { c.grace = d }

// Pour is how the output of a command comes to its writer.
func Pour(to io.Writer, from io.Reader) { pour(&gate{w: to}, from) }
