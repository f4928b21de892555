package remote

import (
	"fmt"
	"time"
)

// keepalive ends the connection when the host is silent for too long. TCP
// alone would take a quarter of an hour to notice a host that vanished
// (tcp_retries2, see tcp(7)), and ever for a connection that only listens.
//
// Like ssh's ServerAliveInterval it counts anything that arrives as life, so a
// slow line full of output is not mistaken for a dead one.
func (c *Client) keepalive(interval time.Duration, limit int) {
	for {
		select {
		case <-c.done:
			return
		case <-time.After(interval):
		}
		if !c.alive(interval, limit) {
			return
		}
	}
}

// alive asks once and waits limit intervals for the answer. A write that
// blocks, because the peer reads nothing, counts as no answer too.
func (c *Client) alive(interval time.Duration, limit int) bool {
	answered := c.ping()
	for seen, silent := c.wire.reads.Load(), 0; silent < limit; {
		select {
		case err := <-answered:
			return err == nil
		case <-c.done:
			return false
		case <-time.After(interval):
			silent++
			if now := c.wire.reads.Load(); now != seen {
				seen, silent = now, 0
			}
		}
	}
	c.end(fmt.Errorf("%w (%d in %s)", ErrKeepalive, limit, time.Duration(limit)*interval))
	return false
}
