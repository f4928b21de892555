package lab

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Link is the way from runners to a host's sshd, which a test may break. What is broken are the
// connections that there are: as with a NAT box that has lost its table, a new one gets through,
// unless the way is cut. Delay and rate hold for all.
type Link struct {
	Host string // where runners connect to: an address of this machine
	Port string

	to       string
	listener net.Listener
	delay    atomic.Int64 // nanoseconds, each way
	rate     atomic.Int64 // bytes a second, each way; 0: no limit
	sent     atomic.Int64 // bytes, to the host
	opened   atomic.Int64 // when the last connection came: nanoseconds since 1970

	mu    sync.Mutex
	conns map[*linkConn]bool
	cut   bool
	done  sync.WaitGroup
}

type linkConn struct {
	near, far *net.TCPConn
	up, down  atomic.Bool // what comes that way vanishes
}

// Link makes a way to a host; it is gone with the lab.
func (l *Lab) Link(ctx context.Context, h *Host) (*Link, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(l.Gateway(), "0"))
	if err != nil {
		return nil, err
	}
	tcp, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return nil, errors.Join(errors.New("link: not a TCP listener"), listener.Close())
	}
	link := &Link{
		Host: l.Gateway(), Port: strconv.Itoa(tcp.Port), to: h.Addr(), listener: listener, conns: map[*linkConn]bool{},
	}
	link.done.Go(link.accept)
	l.AtClose(link.Close)
	return link, nil
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.done.Go(func() { l.connect(conn.(*net.TCPConn)) }) //nolint:forcetypeassert // a TCP listener's
	}
}

func (l *Link) connect(near *net.TCPConn) {
	l.opened.Store(time.Now().UnixNano())
	far, err := net.DialTimeout("tcp", l.to, 10*time.Second) //nolint:noctx // bounded by its time-out
	if err != nil {
		rst(near)
		return
	}
	c := &linkConn{near: near, far: far.(*net.TCPConn)} //nolint:forcetypeassert // dialled as TCP
	l.mu.Lock()
	l.conns[c] = true
	c.up.Store(l.cut)
	c.down.Store(l.cut)
	l.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { l.pump(c.far, c.near, &c.up, &l.sent) })
	both.Go(func() { l.pump(c.near, c.far, &c.down, nil) })
	both.Wait()
	_, _ = c.near.Close(), c.far.Close()
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

type chunk struct {
	data []byte
	due  time.Time
}

// pump carries one direction, and counts its bytes. The end of it vanishes too while it is a black
// hole: then this direction never ends by itself.
func (l *Link) pump(to, from *net.TCPConn, vanishes *atomic.Bool, count *atomic.Int64) {
	queue := make(chan chunk, 256)
	go func() {
		defer close(queue)
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			if n > 0 {
				if count != nil {
					count.Add(int64(n))
				}
				queue <- chunk{buf[:n], time.Now().Add(time.Duration(l.delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	}()
	for c := range queue {
		time.Sleep(time.Until(c.due))
		if rate := l.rate.Load(); rate > 0 {
			time.Sleep(time.Duration(len(c.data)) * time.Second / time.Duration(rate))
		}
		if !vanishes.Load() {
			_, _ = to.Write(c.data) // the other direction ends when this one can't be written to
		}
	}
	if !vanishes.Load() {
		_ = to.CloseWrite()
	}
}

// Reset ends every connection with a reset, to both sides.
func (l *Link) Reset() { l.each(func(c *linkConn) { rst(c.near); rst(c.far) }) }

// Swallow makes a black hole of every connection: what goes to the host (up), what comes from it
// (down), and the end of either.
func (l *Link) Swallow(up, down bool) {
	l.each(func(c *linkConn) { c.up.Store(up); c.down.Store(down) })
}

// Cut makes a black hole of the way itself: whoever connects gets no answer either.
func (l *Link) Cut() {
	l.setCut(true)
	l.Swallow(true, true)
}

// Mend ends Cut. What ran over the way is reset, as by a firewall that has been away.
func (l *Link) Mend() {
	l.setCut(false)
	l.Reset()
}

func (l *Link) setCut(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

// Slow sets the time that everything takes longer, each way, and the bytes a second that get
// through; 0 is no limit.
func (l *Link) Slow(delay time.Duration, rate int64) {
	l.delay.Store(int64(delay))
	l.rate.Store(rate)
}

// Sent is how many bytes went to the host.
func (l *Link) Sent() int64 { return l.sent.Load() }

// Open is how many connections there are.
func (l *Link) Open() (n int) {
	l.each(func(*linkConn) { n++ })
	return n
}

// Opened is when the last connection came.
func (l *Link) Opened() time.Time { return time.Unix(0, l.opened.Load()) }

// Close ends the link and what runs over it.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.Reset()
	l.done.Wait()
	return err
}

func (l *Link) each(do func(*linkConn)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		do(c)
	}
}

// rst closes with a reset in the place of an orderly end.
func rst(c *net.TCPConn) { _, _ = c.SetLinger(0), c.Close() }
