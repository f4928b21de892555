package remote

import "time"

// SetGrace is for commands whose end must come before that of their grace.
func (c *Client) SetGrace(d time.Duration) { c.grace = d }
