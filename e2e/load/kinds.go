package load

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// repeat keeps one connection busy until the load stops: a closed loop, one request at a time.
func (l *Load) repeat(kind Kind, id int) {
	var conn *keptConn
	defer func() {
		if conn != nil {
			conn.close()
		}
	}()
	think := l.opt.Think
	if kind == KindSlow || kind == KindUpload {
		think = 0 // these pause enough while they run
	}
	if !l.pause(time.Duration(rand.Int64N(int64(l.opt.Think) + 1))) {
		return
	}
	for n := 0; ; n++ {
		var failed bool
		conn, failed = l.once(conn, kind, id, n)
		rest := jitter(think)
		if failed {
			rest = jitter(l.opt.Think) // a dead server answers at once: keep the pace bounded
		}
		if !l.pause(rest) {
			return
		}
	}
}

// once makes one request, on conn or where that is nil on a new connection, and records it exactly
// once. It returns the connection when it can be used again.
func (l *Load) once(conn *keptConn, kind Kind, id, n int) (reusable *keptConn, failed bool) {
	request := l.request(kind, id, n)
	began := time.Now()
	var answer reply
	var err error
	if conn != nil {
		if err = conn.check(); l.mayReplace(err) {
			conn.close()
			conn, err = nil, nil
		}
	}
	if conn == nil {
		conn, err = dialKept(l.hard, l.addr, l.opt.Timeout)
	}
	if err == nil {
		answer, err = conn.exchange(request, l.stopping)
	}
	if err == nil {
		l.rec.answered(kind, answer.release, time.Since(began))
		if !answer.closing {
			return conn, false
		}
		conn.close()
		return nil, false
	}
	if conn != nil {
		conn.close()
	}
	if l.hard.Err() != nil {
		l.rec.dropped()
		return nil, true
	}
	l.fail(Failure{
		Kind: kind, Conn: id, Nth: n + 1, Status: answer.status, Release: answer.release, Took: time.Since(began),
	}, err)
	return nil, true
}

// mayReplace tells whether err is a close between two requests, counts it, and says whether it is
// tolerated.
func (l *Load) mayReplace(err error) bool {
	var fault *requestFault
	if !errors.As(err, &fault) || fault.cause != CauseIdle || l.hard.Err() != nil {
		return false
	}
	l.rec.idleClosed()
	return l.opt.TolerateIdleClose
}

// fail records a failed request with its cause.
func (l *Load) fail(failure Failure, err error) {
	failure.Cause, failure.Detail = CauseProtocol, err.Error()
	var fault *requestFault
	if errors.As(err, &fault) {
		failure.Cause, failure.Detail = fault.cause, fault.err.Error()
	}
	l.rec.fail(failure)
}

func (l *Load) request(kind Kind, id, n int) question {
	r := question{method: http.MethodGet, host: l.opt.Host, timeout: l.opt.Timeout, check: checkRelease}
	switch kind {
	case KindGet:
		r.target = "/version"
	case KindSlow:
		seconds := strconv.FormatFloat(l.opt.SlowFor.Seconds(), 'f', -1, 64)
		r.target = "/slow?" + url.Values{"seconds": {seconds}}.Encode()
		r.timeout += l.opt.SlowFor
	case KindPost:
		r.method, r.target, r.contentType = http.MethodPost, "/echo", "application/json"
		r.body = fmt.Appendf(nil, `{"connection": %d, "request": %d, "nonce": "%x", "text": "한국어 \" \\ \u0000"}`, id, n,
			rand.Uint64())
		r.check = func(a reply) error { return sameBytes(a.body, r.body) }
	case KindUpload:
		r.method, r.target, r.contentType = http.MethodPost, "/upload", "application/octet-stream"
		r.body = uploadBody(id, n, l.opt.UploadSize)
		r.spread = l.opt.UploadFor
		if n == 0 { // the first ones end one after the other, so that uploads overlap from then on
			r.spread = l.opt.UploadFor * time.Duration(id+1) / time.Duration(l.opt.Mix.Upload)
		}
		r.timeout += r.spread
		r.check = func(a reply) error { return checkUpload(a, r.body) }
	}
	return r
}

// checkRelease wants a body made by the release that the header names: an answer pieced together
// from two fails.
func checkRelease(a reply) error {
	var body struct {
		Release string `json:"release"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return fmt.Errorf("read the answer %.120q: %w", a.body, err)
	}
	if body.Release != a.release {
		return fmt.Errorf("the body is of release %q, the header of %q", body.Release, a.release)
	}
	return nil
}

func sameBytes(got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("sent %.200q, got back %.200q", want, got)
	}
	return nil
}

func checkUpload(a reply, sent []byte) error {
	var body struct {
		Size   int    `json:"size"`
		SHA256 string `json:"sha256"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return fmt.Errorf("read the answer %.120q: %w", a.body, err)
	}
	sum := sha256.Sum256(sent)
	if want := hex.EncodeToString(sum[:]); body.Size != len(sent) || body.SHA256 != want {
		return fmt.Errorf("sent %d bytes with the hash %s, the server got %d with %s", len(sent), want, body.Size,
			body.SHA256)
	}
	return checkRelease(a)
}

// uploadBody is noise of its own for every upload, so that no two can be taken for each other.
func uploadBody(id, n, size int) []byte {
	var seed [32]byte
	copy(seed[:], fmt.Sprintf("upload %d %d", id, n))
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(seed).Read(body) // never fails
	return body
}
