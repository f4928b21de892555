package s3

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud"
)

// environment is what configure-aws-credentials leaves behind, and nothing of the machine's own.
func environment(t *testing.T, more map[string]string) {
	t.Helper()
	env := map[string]string{
		"HOME": t.TempDir(), "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_SESSION_TOKEN":     "", "AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "",
		"AWS_MAX_ATTEMPTS": "1",
		"AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": "", "AWS_CONFIG_FILE": "", "AWS_SHARED_CREDENTIALS_FILE": "",
	}
	for name, value := range more {
		env[name] = value
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		want string
	}{
		{"no region", map[string]string{"AWS_REGION": ""}, `no AWS region: set the input "aws-region", or AWS_REGION`},
		{
			"no credentials",
			map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
			`no AWS credentials: give the input "role-to-assume", or run aws-actions/configure-aws-credentials`,
		},
		{"half of the credentials", map[string]string{"AWS_SECRET_ACCESS_KEY": ""}, "no AWS credentials"},
		{
			"a profile of the runner's",
			map[string]string{"AWS_PROFILE": "deploy"},
			`no AWS profile "deploy": AWS_PROFILE is set, but a container action`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environment(t, tt.env)
			if _, err := Open(t.Context(), &cloud.Account{}, ""); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

// serve is a server that answers every request alike; what a real one does with signatures is
// proved in e2e.
func serve(t *testing.T, answer http.HandlerFunc) *Store {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	environment(t, nil)
	store, err := Open(t.Context(), &cloud.Account{}, strings.Replace(server.URL, "127.0.0.1", "localhost", 1))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

const (
	md5OfA    = "0cc175b9c0f1b6a831c399e269772661"
	sha256OfA = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	base64OfA = "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs="
)

func TestFindAndProve(t *testing.T) {
	other := strings.Repeat("ab", 32)
	for _, tt := range []struct {
		name    string
		headers map[string]string
		given   string
		want    Proof
		id      string
	}{
		{"a single part", nil, "", Proof{"md5:" + md5OfA, "its ETag, an MD5"}, md5OfA},
		{
			"encrypted by S3",
			map[string]string{"X-Amz-Server-Side-Encryption": "AES256"},
			"",
			Proof{"md5:" + md5OfA, "its ETag, an MD5"},
			md5OfA,
		},
		{
			"encrypted by KMS",
			map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms"},
			"",
			Proof{"", "size and ETag alone"},
			md5OfA,
		},
		{
			"encrypted by the customer",
			map[string]string{"X-Amz-Server-Side-Encryption-Customer-Algorithm": "AES256"},
			"",
			Proof{"", "size and ETag alone"},
			md5OfA,
		},
		{
			"several parts",
			map[string]string{"ETag": `"` + md5OfA + `-2"`},
			"",
			Proof{"parts:" + md5OfA + "-2", "its ETag, the MD5 of its parts' MD5s"},
			md5OfA + "-2",
		},
		{
			"several parts, encrypted by KMS",
			map[string]string{"ETag": `"` + md5OfA + `-2"`, "X-Amz-Server-Side-Encryption": "aws:kms"},
			"", Unproved,
			md5OfA + "-2",
		},
		{
			"an ETag of another kind",
			map[string]string{"ETag": `"CAE="`},
			"",
			Proof{"", "size and ETag alone"},
			shortSum("CAE="),
		},
		{
			"the uploader's word",
			map[string]string{"X-Amz-Meta-Sha256": strings.ToUpper(sha256OfA)},
			"",
			Proof{"sha256:" + sha256OfA, "the x-amz-meta-sha256 of its upload"},
			sha256OfA,
		},
		{
			"a word that is no digest",
			map[string]string{"X-Amz-Meta-Sha256": "yes"},
			"",
			Proof{"md5:" + md5OfA, "its ETag, an MD5"},
			md5OfA,
		},
		{
			"S3's own",
			map[string]string{
				"X-Amz-Meta-Sha256": other, "X-Amz-Checksum-Sha256": base64OfA, "X-Amz-Checksum-Type": "FULL_OBJECT",
			},
			"",
			Proof{"sha256:" + sha256OfA, "S3's own SHA-256"},
			sha256OfA,
		},
		{
			"S3's own, of the parts",
			map[string]string{"X-Amz-Checksum-Sha256": base64OfA + "-2", "X-Amz-Checksum-Type": "COMPOSITE"},
			"",
			Proof{"md5:" + md5OfA, "its ETag, an MD5"},
			md5OfA,
		},
		{
			"the user's",
			map[string]string{"X-Amz-Checksum-Sha256": base64OfA, "X-Amz-Checksum-Type": "FULL_OBJECT"},
			other,
			Proof{"sha256:" + other, "the sha256 in the workflow"},
			other,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodHead || r.URL.Path != "/models/a b.h5" ||
					r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" {
					t.Errorf("%s %s, %v", r.Method, r.URL.Path, r.Header)
				}
				w.Header().Set("ETag", `"`+md5OfA+`"`)
				w.Header().Set("X-Amz-Version-Id", "v7")
				w.Header().Set("Content-Length", "1")
				for name, value := range tt.headers {
					w.Header().Set(name, value)
				}
			})
			o, err := store.Find(t.Context(), "models", "a b.h5")
			if err != nil {
				t.Fatal(err)
			}
			if o.Size != 1 || o.Version != "v7" {
				t.Errorf("object %+v", o)
			}
			proof := o.Proof(tt.given)
			if diff := cmp.Diff(tt.want, proof); diff != "" {
				t.Errorf("proof (-want +got):\n%s", diff)
			}
			if id := o.ID(proof); id != tt.id {
				t.Errorf("id %q, want %q", id, tt.id)
			}
		})
	}
}

func TestFindExplains(t *testing.T) {
	const denied = "User: arn:aws:sts::1:assumed-role/deploy/7 is not authorized to perform: s3:ListBucket on resource: m"
	body := func(code string) string {
		code, words, said := strings.Cut(code, ": ")
		if !said {
			words = "stored with Server Side Encryption"
		}
		return "<Error><Code>" + code + "</Code><Message>" + words + "</Message></Error>"
	}
	for _, tt := range []struct {
		name   string
		status int
		header string
		code   string
		want   string
	}{
		{"missing", 404, "", "NoSuchKey", "look up s3://m/k: no such object (404): correct its key"},
		{"no bucket", 404, "", "NoSuchBucket", "look up s3://m/k: no such bucket (404): correct it"},
		{
			"an unknown key, to some servers", 404, "", "InvalidAccessKeyId",
			"there is no such access key: correct AWS_ACCESS_KEY_ID, or",
		},
		{"refused", 403, "", "AccessDenied", "the credentials are refused (403 AccessDenied): they must be valid"},
		{
			"refused, and AWS says what", 403, "", "AccessDenied: " + denied,
			"the credentials are refused (403 AccessDenied: " + denied + "): they must be valid",
		},
		{
			"a wrong secret key", 403, "", "SignatureDoesNotMatch",
			"the secret key is not this access key's: correct AWS_SECRET_ACCESS_KEY (403",
		},
		{
			"a session that is over", 400, "", "ExpiredToken",
			"the credentials have expired: run aws-actions/configure-aws-credentials just",
		},
		{"a token of others", 400, "", "InvalidToken", "the session token is not one of these credentials"},
		{
			"a clock that is wrong", 403, "", "RequestTimeTooSkewed",
			"the runner's clock is wrong by more than 15 minutes",
		},
		{
			"another region, of which the header says nothing", 400, "", "AuthorizationHeaderMalformed",
			`set the input "aws-region"`,
		},
		{"a name that can't be", 400, "", "InvalidBucketName", "no bucket can have that name"},
		{"a key of the customer's", 400, "", "InvalidRequest", "encrypted with a key of the customer's (SSE-C)"},
		{"an archived object", 200, "", "GLACIER", "it is archived (GLACIER), and can't be read before it is restored"},
		{
			"another region", 301, "us-west-2", "PermanentRedirect",
			`the bucket is in region us-west-2, not in eu-central-1: set the input "aws-region"`,
		},
		{"no ETag", 200, "", "", `the server gives it the ETag ""`},
		{"a broken server", 500, "", "InternalError", "look up s3://m/k: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.header != "" {
					w.Header().Set("X-Amz-Bucket-Region", tt.header)
				}
				if tt.status == http.StatusOK {
					w.Header().Set("X-Amz-Storage-Class", tt.code)
				}
				w.WriteHeader(tt.status)
				fmt.Fprint(w, body(tt.code))
			})
			if _, err := store.Find(t.Context(), "m", "k"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSign(t *testing.T) {
	store := serve(t, nil)
	text, until, err := store.Sign(t.Context(), Object{Bucket: "models", Key: "a b.h5", Version: "v7"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Path != "/models/a b.h5" || q.Get("versionId") != "v7" || q.Get("X-Amz-SignedHeaders") != "host" ||
		q.Get("X-Amz-Expires") != "900" {
		t.Errorf("URL %s", text)
	}
	if left := time.Until(until); left < 14*time.Minute || left > 15*time.Minute {
		t.Errorf("ends in %s", left)
	}
	if strings.ContainsAny(text, "\"\\\n ") {
		t.Errorf("URL %q can't stand in quotes", text)
	}
	if diff := cmp.Diff([]string{"secret", ""}, store.Secrets(context.Background())); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestDownloadsOfDifferentObjectsHaveDifferentNames(t *testing.T) {
	names := map[string]bool{}
	for _, o := range []Object{
		{Bucket: "a", Key: "k", ETag: "e", Size: 1},
		{Bucket: "b", Key: "k", ETag: "e", Size: 1},
		{Bucket: "a", Key: "j", ETag: "e", Size: 1},
		{Bucket: "a", Key: "k", ETag: "f", Size: 1},
		{Bucket: "a", Key: "k", ETag: "e", Size: 2},
		{Bucket: "a", Key: "k", ETag: "e", Size: 1, Version: "v"},
	} {
		names[o.Download()] = true
	}
	if len(names) != 6 {
		t.Errorf("%d names for 6 objects", len(names))
	}
}
