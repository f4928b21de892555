package load

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// appServer answers as e2e/application does. At request number faultAt it misbehaves once, as
// fault does.
type appServer struct {
	*httptest.Server
	release     atomic.Pointer[string]
	closeEvery  int64 // announce the end of the connection with every nth answer
	faultAt     int64
	fault       func(w http.ResponseWriter, r *http.Request)
	spoil       atomic.Bool // the next seventh echo of a WebSocket is wrong
	seen        atomic.Int64
	connections atomic.Int64
	uploads     atomic.Int64 // under way
	slows       atomic.Int64 // that have begun
	overlap     atomic.Int64 // the most under way at a time

	mu      sync.Mutex
	sockets []*websocket.Conn
}

func newApp(t *testing.T) *appServer {
	t.Helper()
	s := &appServer{}
	s.setRelease("v1")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", s.version)
	mux.HandleFunc("GET /slow", s.slow)
	mux.HandleFunc("POST /echo", s.echo)
	mux.HandleFunc("POST /upload", s.upload)
	mux.HandleFunc("GET /ws", s.webSocket)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.seen.Add(1)
		if n == s.faultAt {
			s.fault(w, r)
			return
		}
		if s.closeEvery > 0 && n%s.closeEvery == 0 {
			w.Header().Set("Connection", "close")
		}
		w.Header().Set("X-Release", *s.release.Load())
		mux.ServeHTTP(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	t.Cleanup(s.Close)
	return s
}

func (s *appServer) setRelease(name string) { s.release.Store(&name) }

func (s *appServer) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"release": w.Header().Get("X-Release"), "pid": 1})
}

func (s *appServer) slow(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("seconds") + "s")
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	s.slows.Add(1)
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
	writeJSON(w, map[string]any{"release": w.Header().Get("X-Release")})
}

func (s *appServer) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = w.Write(body)
}

func (s *appServer) upload(w http.ResponseWriter, r *http.Request) {
	now := s.uploads.Add(1)
	defer s.uploads.Add(-1)
	most := s.overlap.Load()
	for now > most && !s.overlap.CompareAndSwap(most, now) {
		most = s.overlap.Load()
	}
	sum := sha256.New()
	size, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, map[string]any{
		"release": w.Header().Get("X-Release"), "size": size, "sha256": hex.EncodeToString(sum.Sum(nil)),
	})
}

func (s *appServer) webSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.sockets = append(s.sockets, conn)
	s.mu.Unlock()
	for {
		kind, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if bytes.HasPrefix(data, []byte("echo 7 ")) && s.spoil.CompareAndSwap(true, false) {
			data = []byte("something else")
		}
		if conn.Write(r.Context(), kind, data) != nil {
			return
		}
	}
}

func (s *appServer) lastSocket() *websocket.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sockets[len(s.sockets)-1]
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// raw answers with text as it stands, then ends the connection without having announced it.
func raw(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or closing would reset the connection
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func answer(status int, release, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		if release != "" {
			w.Header().Set("X-Release", release)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// wholeAnswer is a good answer to GET /version, for servers that write it by hand.
func wholeAnswer(extra string) string {
	body := `{"release": "v1"}`
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Release: v1\r\nContent-Length: %d\r\n%s\r\n%s", len(body), extra, body)
}
