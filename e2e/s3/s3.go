// Package s3 is a server in the place of AWS's for a lab: versitygw, which `make prepare` builds.
// It is no part of the lab itself, since whoever needs none should not wait for the SDK to be
// compiled.
package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/clothesme/deploy-action/e2e/lab"
)

// version is the versitygw that `make prepare` builds; its script reads it here.
const version = "v1.8.0"

const region = "eu-central-1"

// Server stands in for AWS's: versitygw, which checks signatures, their age, policies, conditions and
// ranges as AWS does. Hosts and runners reach it through a proxy in this process, which counts and can
// cut.
type Server struct {
	url     string
	admin   key
	user    key
	client  *awss3.Client // the administrator's
	proxy   *http.Server
	process *exec.Cmd
	dir     string
	output  bytes.Buffer // of the process; to be read after its end only

	mu        sync.Mutex
	allowed   bool // to the user, and no more than a policy says
	gets      []*Get
	cuts      []int64
	beforeGet func()
	rate      int64
}

// key is an access key, with the client that signs by it.
type key struct{ id, secret string }

func newKey() key { return key{"AKIA" + rand.Text()[:16], rand.Text() + rand.Text()} }

func (k key) client(backend *url.URL) *awss3.Client {
	return awss3.New(awss3.Options{
		Region: region, BaseEndpoint: aws.String(backend.String()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(k.id, k.secret, ""),
	})
}

// Get is one GET of an object as the proxy saw it.
type Get struct {
	Status int
	Range  string
	Bytes  int64 // of the body, as far as it was sent
}

// Start starts a server with random credentials, which ends with the lab.
func Start(ctx context.Context, l *lab.Lab) (*Server, error) {
	s := &Server{admin: newKey(), user: newKey(), dir: filepath.Join(l.Dir(), "s3-"+rand.Text()[:6])}
	backend, err := s.start(ctx)
	if err != nil {
		return nil, fmt.Errorf("start S3: %w", err)
	}
	l.AtClose(s.close)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(l.Gateway(), "0"))
	if err != nil {
		return nil, fmt.Errorf("listen for S3: %w", err)
	}
	s.url = "http://" + listener.Addr().String()
	s.proxy = &http.Server{Handler: s.forward(backend), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.proxy.Serve(listener) }()
	s.client = s.admin.client(backend)
	return s, nil
}

// start runs the server on a free port and waits until it answers.
func (s *Server) start(ctx context.Context) (*url.URL, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(cache, "deploy-action", "versitygw@"+version, "versitygw")
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("find versitygw (`make prepare` builds it): %w", err)
	}
	data, versions, users := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "versions"), filepath.Join(s.dir, "users")
	if err := errors.Join(os.MkdirAll(data, 0o755), os.MkdirAll(versions, 0o755), os.MkdirAll(users, 0o755)); err != nil {
		return nil, err
	}
	accounts, err := json.Marshal(map[string]any{"accessAccounts": map[string]any{
		s.user.id: map[string]string{"access": s.user.id, "secret": s.user.secret, "role": "user"},
	}})
	if err == nil {
		err = os.WriteFile(filepath.Join(users, "users.json"), accounts, 0o600)
	}
	if err != nil {
		return nil, err
	}
	free, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return nil, err
	}
	// nolint:noctx // it lives until close
	s.process = exec.Command(binary, "--port", address, "--region", region, "--quiet", "--health", "/healthz",
		"--iam-dir", users, "posix", "--versioning-dir", versions, data)
	s.process.Env = []string{"ROOT_ACCESS_KEY=" + s.admin.id, "ROOT_SECRET_KEY=" + s.admin.secret, "HOME=" + s.dir}
	s.process.Stdout, s.process.Stderr = &s.output, &s.output
	// a terminal's Ctrl-C is not for it; a killed test run leaves none behind
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	backend := &url.URL{Scheme: "http", Host: address}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, backend.String()+"/healthz", nil)
		if err != nil {
			return nil, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = answer.Body.Close()
			return backend, nil
		}
		select {
		case <-ctx.Done():
			_ = s.stop()
			return nil, fmt.Errorf("versitygw does not answer: %w\n%s", err, s.output.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) stop() error {
	if err := s.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = s.process.Wait() // it was killed
	return nil
}

func (s *Server) close() error {
	var err error
	if s.proxy != nil {
		err = s.proxy.Close()
	}
	return errors.Join(err, s.stop(), os.RemoveAll(s.dir))
}

// forward passes requests on as they are: what is signed names the proxy's address.
func (s *Server) forward(backend *url.URL) http.Handler {
	user := s.user.client(backend)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = backend.Scheme, backend.Host, r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusNotFound && s.isUsers(r.Request) {
				if err := refuseToList(user, r); err != nil {
					return err
				}
			}
			if r.Request.Method == http.MethodGet {
				r.Body = s.count(r)
			}
			return nil
		},
		FlushInterval: -1,                         // what came before a cut has gone out
		ErrorLog:      log.New(io.Discard, "", 0), // a cut is what a test asked for
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		before := s.beforeGet
		if r.Method == http.MethodGet {
			s.beforeGet = nil
		}
		s.mu.Unlock()
		if r.Method == http.MethodGet && before != nil {
			before()
		}
		proxy.ServeHTTP(w, r)
	})
}

// isUsers tells whether a request is signed by the user, in its header or in its URL.
func (s *Server) isUsers(r *http.Request) bool {
	by := r.Header.Get("Authorization") + r.URL.Query().Get("X-Amz-Credential")
	return strings.Contains(by, s.user.id+"/")
}

// refuseToList has the answer that there is no such object given to those alone who may list the bucket, as
// docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html has it; versitygw gives it to all.
func refuseToList(user *awss3.Client, r *http.Response) error {
	bucket, _, _ := strings.Cut(strings.TrimPrefix(r.Request.URL.Path, "/"), "/")
	_, err := user.HeadBucket(r.Request.Context(), &awss3.HeadBucketInput{Bucket: &bucket})
	var answer *awshttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPStatusCode() != http.StatusForbidden {
		return nil // it may, or there is no such bucket
	}
	if err := r.Body.Close(); err != nil {
		return err
	}
	text := "<Error><Code>AccessDenied</Code>" +
		"<Message>User: deploy is not authorized to perform: s3:ListBucket on resource: " +
		`"arn:aws:s3:::` + bucket + `" because no identity-based policy allows the s3:ListBucket action</Message></Error>`
	r.StatusCode, r.Status = http.StatusForbidden, ""
	r.Header.Set("Content-Length", strconv.Itoa(len(text)))
	if r.ContentLength = int64(len(text)); r.Request.Method == http.MethodHead {
		text = ""
	}
	r.Body = io.NopCloser(strings.NewReader(text))
	return nil
}

// URL is the server's, for the input s3-endpoint.
func (s *Server) URL() string { return s.url }

// User is whom a policy names that is for Allow.
func (s *Server) User() string { return s.user.id }

// Allow puts a policy on a bucket. From the first one on, Env is of a user who may do what policies say, and
// not of the administrator.
func (s *Server) Allow(ctx context.Context, bucket, policy string) error {
	_, err := s.client.PutBucketPolicy(ctx, &awss3.PutBucketPolicyInput{Bucket: &bucket, Policy: &policy})
	if err != nil {
		return fmt.Errorf("put the policy %s on bucket %q: %w", policy, bucket, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed = true
	return nil
}

// Env is what aws-actions/configure-aws-credentials puts into the environment of the steps after
// it.
func (s *Server) Env() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	as := s.admin
	if s.allowed {
		as = s.user
	}
	return map[string]string{
		"AWS_ACCESS_KEY_ID": as.id, "AWS_SECRET_ACCESS_KEY": as.secret,
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region,
	}
}

// Bucket makes a bucket.
func (s *Server) Bucket(ctx context.Context, name string) error {
	if _, err := s.client.CreateBucket(ctx, &awss3.CreateBucketInput{Bucket: &name}); err != nil {
		return fmt.Errorf("make bucket %q: %w", name, err)
	}
	return nil
}

// Versions has a bucket keep the versions of its objects from here on.
func (s *Server) Versions(ctx context.Context, bucket string) error {
	_, err := s.client.PutBucketVersioning(ctx, &awss3.PutBucketVersioningInput{
		Bucket:                  &bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	if err != nil {
		return fmt.Errorf("keep versions in bucket %q: %w", bucket, err)
	}
	return nil
}

// Put uploads an object, with the user's metadata.
func (s *Server) Put(ctx context.Context, bucket, key string, data []byte, metadata map[string]string) error {
	_, err := s.client.PutObject(ctx, &awss3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: bytes.NewReader(data),
		Metadata: metadata,
	})
	if err != nil {
		return fmt.Errorf("put s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}

// PutParts uploads an object in parts of a length.
func (s *Server) PutParts(ctx context.Context, bucket, key string, data []byte, length int) error {
	begun, err := s.client.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return fmt.Errorf("put s3://%s/%s in parts: %w", bucket, key, err)
	}
	var parts []types.CompletedPart
	for chunk := range slices.Chunk(data, length) {
		number := aws.Int32(int32(len(parts) + 1)) //nolint:gosec // ten thousand at most
		put, err := s.client.UploadPart(ctx, &awss3.UploadPartInput{
			Bucket: &bucket, Key: &key, UploadId: begun.UploadId, PartNumber: number, Body: bytes.NewReader(chunk),
		})
		if err != nil {
			return fmt.Errorf("put part %d of s3://%s/%s: %w", *number, bucket, key, err)
		}
		parts = append(parts, types.CompletedPart{ETag: put.ETag, PartNumber: number, ChecksumCRC32: put.ChecksumCRC32})
	}
	_, err = s.client.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
		Bucket: &bucket, Key: &key, UploadId: begun.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		return fmt.Errorf("put s3://%s/%s in parts: %w", bucket, key, err)
	}
	return nil
}

// Delete deletes an object.
func (s *Server) Delete(ctx context.Context, bucket, key string) error {
	if _, err := s.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		return fmt.Errorf("delete s3://%s/%s: %w", bucket, key, err)
	}
	return nil
}

// Gets returns the GETs of objects since the last call.
func (s *Server) Gets() []Get {
	s.mu.Lock()
	defer s.mu.Unlock()
	gets := make([]Get, len(s.gets))
	for i, get := range s.gets {
		gets[i] = *get
	}
	s.gets = nil
	return gets
}

// Cut ends the connections of the next GETs after so many bytes of their bodies.
func (s *Server) Cut(after ...int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts = after
}

// BeforeGet has something done when the next GET arrives, before it is answered; the channel is
// closed when it is done.
func (s *Server) BeforeGet(do func()) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := make(chan struct{})
	s.beforeGet = func() {
		defer close(done)
		do()
	}
	return done
}

// Rate limits each GET to so many bytes a second, as S3 does by itself; 0: no limit.
func (s *Server) Rate(bytesPerSecond int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rate = bytesPerSecond
}

// Presign returns a URL for a GET of the object.
func (s *Server) Presign(ctx context.Context, bucket, key string) (string, error) {
	client := awss3.NewPresignClient(awss3.New(s.client.Options(), func(o *awss3.Options) { o.BaseEndpoint = &s.url }))
	request, err := client.PresignGetObject(ctx, &awss3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return "", fmt.Errorf("sign s3://%s/%s: %w", bucket, key, err)
	}
	return request.URL, nil
}

// count wraps the body of an answer.
func (s *Server) count(r *http.Response) io.ReadCloser {
	s.mu.Lock()
	defer s.mu.Unlock()
	body := &countedBody{ReadCloser: r.Body, s: s, limit: -1, rate: s.rate, began: time.Now()}
	if len(s.cuts) > 0 && r.StatusCode < http.StatusBadRequest {
		body.limit, s.cuts = s.cuts[0], s.cuts[1:]
	}
	body.get = &Get{Status: r.StatusCode, Range: strings.TrimPrefix(r.Request.Header.Get("Range"), "bytes=")}
	s.gets = append(s.gets, body.get)
	return body
}

type countedBody struct {
	io.ReadCloser
	s     *Server
	get   *Get
	sent  int64
	limit int64 // -1: none
	rate  int64
	began time.Time
}

var errCut = errors.New("cut, as asked for")

func (b *countedBody) Read(p []byte) (int, error) {
	if b.limit >= 0 {
		if b.sent == b.limit {
			return 0, errCut
		}
		p = p[:min(int64(len(p)), b.limit-b.sent)]
	}
	n, err := b.ReadCloser.Read(p)
	b.sent += int64(n)
	b.s.mu.Lock()
	b.get.Bytes = b.sent
	b.s.mu.Unlock()
	if b.rate > 0 {
		ahead := time.Duration(float64(b.sent)/float64(b.rate)*float64(time.Second)) - time.Since(b.began)
		if ahead > time.Millisecond {
			time.Sleep(ahead)
		}
	}
	return n, err
}
