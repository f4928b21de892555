package query

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

func client(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_EC2", "")
	return New(aws.Config{
		Region: "eu-central-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 3,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "session"),
	})
}

// atOnce asks again without a pause.
func atOnce() *retry.Standard {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
}

func says(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func refusal(code, message string) string {
	return "<Response><Errors><Error><Code>" + code + "</Code><Message>" + message +
		"</Message></Error></Errors></Response>"
}

func TestRefusalsNameWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		answer string
		want   string
	}{
		{
			"no permission, as EC2 says it", 403,
			refusal("UnauthorizedOperation", "You are not authorized to perform this operation. "+
				"User: arn:aws:iam::1:user/x is not authorized to perform: ec2:DescribeInstances because no "+
				"identity-based policy allows the ec2:DescribeInstances action"),
			`the role must be allowed ec2:DescribeInstances: put {"Effect": "Allow", "Action": "ec2:DescribeInstances", ` +
				`"Resource": "*", "Condition": {"StringEquals": {"aws:RequestedRegion": "eu-central-1"}}} into its policy ` +
				`(UnauthorizedOperation in region eu-central-1: You are`,
		},
		{
			"no permission, as others say it", 403,
			"<ErrorResponse><Error><Code>AccessDenied</Code><Message>User: x is not authorized to perform: " +
				"kms:Decrypt</Message></Error></ErrorResponse>",
			"the role must be allowed kms:Decrypt: put the statement of docs/iam.md that has it into its policy (AccessDenied",
		},
		{"no permission, without a word", 403, refusal("AccessDenied", ""), "(AccessDenied in region eu-central-1: )"},
		{"no AWS, and a no", 403, "denied", "the credentials are refused (status 403)"},
		{"no AWS", 418, "{}", "what answers there is not AWS (status 418)"},
		{"another language", 200, "{}", "its answer can't be read"},
		{"expired", 400, refusal("RequestExpired", "x"), "the credentials have expired"},
		{"busy for good", 503, refusal("RequestLimitExceeded", "x"), "AWS was asked too often"},
		{"busy for good, as others say it", 400, refusal("Throttling", "x"), "AWS was asked too often"},
		{"something else", 400, refusal("InvalidParameterValue", "oops"), "AWS refuses: InvalidParameterValue: oops"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := client(t, says(tt.status, tt.answer)).Ask(t.Context(), EC2, "DescribeInstances", nil, &struct{}{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAServiceThatTalksJSON(t *testing.T) {
	answer := says(200, `{"Parameter": {"Value": "yes"}}`)
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" || string(body) != `{"Name":"/a"}` || err != nil ||
			r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
			t.Errorf("asked %v %s, %v", r.Header, body, err)
		}
		answer(w, r)
	})
	t.Setenv("AWS_ENDPOINT_URL_SSM", "")
	var said struct{ Parameter struct{ Value string } }
	ask := func() error {
		return c.AskJSON(t.Context(), SystemsManager, "GetParameter", map[string]string{"Name": "/a"}, &said)
	}
	if err := ask(); err != nil || said.Parameter.Value != "yes" {
		t.Errorf("%v, %q", err, said.Parameter.Value)
	}
	for text, want := range map[string]string{
		`{"__type": "com.amazonaws.ssm#ParameterNotFound", "message": "none"}`: "AWS refuses: ParameterNotFound: none",
		`{"__type": "AccessDeniedException", "Message": "no"}`:                 "allowed ssm:GetParameter: put",
		`{"__type": "ThrottlingException", "message": "Rate exceeded"}`:        "AWS was asked too often",
		`{"__type": "ExpiredTokenException", "message": "x"}`:                  "the credentials have expired",
		`{"__type": "InvalidSignatureException", "message": "x"}`:              "the secret key is not this access",
		`<Error/>`: "what answers there is not AWS (status 400)",
	} {
		answer = says(400, text)
		if err := ask(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	answer = says(200, `{"Parameter": {"Value": "hunter2`)
	if err := ask(); err == nil || strings.Contains(err.Error(), "hunter2") ||
		!strings.Contains(err.Error(), "can't be read") {
		t.Errorf("half an answer: %v", err)
	}
	if err := c.AskJSON(t.Context(), SystemsManager, "GetParameter", func() {}, nil); err == nil {
		t.Error("a question that is none was asked")
	}
}

func TestABusyServiceIsAskedAgain(t *testing.T) {
	var calls atomic.Int32
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) < 3 {
			says(503, refusal("RequestLimitExceeded", "x"))(w, r)
			return
		}
		_, _ = io.WriteString(w, "<A><b>yes</b></A>")
	})
	var said struct {
		B string `xml:"b"`
	}
	err := c.Ask(t.Context(), EC2, "DescribeInstances", nil, &said)
	if err != nil || said.B != "yes" || calls.Load() != 3 {
		t.Errorf("%v, %q, %d calls", err, said.B, calls.Load())
	}
}

// deadline is a context whose time is over when a test says so.
type deadline struct {
	context.Context
	over chan struct{}
}

func (d deadline) Done() <-chan struct{} { return d.over }

func (d deadline) Err() error {
	select {
	case <-d.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Whoever has no time left wants to know what AWS has said, and not that there is none.
func TestABusyServiceIsNamedWhenTheTimeIsOver(t *testing.T) {
	cancelled := errors.New("cancelled")
	for name, tt := range map[string]struct {
		cancel bool // and not the time
		asked  bool // while AWS is asked again; else before that
		want   string
	}{
		"before it is asked again":    {false, false, "AWS was asked too often"},
		"while it is asked again":     {false, true, "AWS was asked too often"},
		"cancelled":                   {true, false, "cancelled"},
		"cancelled while it is asked": {true, true, "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			over := deadline{t.Context(), make(chan struct{})}
			ctx, cancel := context.WithCancelCause(over)
			end := func() {
				if tt.cancel {
					cancel(cancelled)
				} else {
					close(over.over)
				}
			}
			var calls atomic.Int32
			c := client(t, func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 2 {
					end()
				}
				says(503, refusal("RequestLimitExceeded", "x"))(w, r)
			})
			c.retries = retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) {
					if tt.asked {
						return 0, nil
					}
					end()
					return time.Hour, nil
				})
			})
			err := c.Ask(ctx, EC2, "DescribeInstances", nil, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, cancelled) != tt.cancel {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// A question that is lost has no answer within the HTTP client's time, which is not the caller's.
func TestALostQuestionIsAskedAgainOfABusyService(t *testing.T) {
	var calls atomic.Int32
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			says(503, refusal("RequestLimitExceeded", "x"))(w, r)
		case 2:
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client is gone
			<-r.Context().Done()
		default:
			says(200, "<A/>")(w, r)
		}
	})
	c.http = &http.Client{Timeout: 500 * time.Millisecond}
	c.retries = atOnce()
	if err := c.Ask(t.Context(), EC2, "DescribeInstances", nil, nil); err != nil || calls.Load() < 3 {
		t.Errorf("%v, %d calls", err, calls.Load())
	}
}

// A connection that AWS has closed just then, or a server that goes down, is no answer.
func TestAQuestionWithoutAnAnswerIsAskedAgain(t *testing.T) {
	for name, ends := range map[string]func(http.ResponseWriter){
		"none at all": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
		"half of one": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "<A>")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			c := client(t, func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 2 {
					says(200, "<A/>")(w, r)
					return
				}
				ends(w)
			})
			c.retries = atOnce()
			if err := c.Ask(t.Context(), EC2, "DescribeInstances", nil, nil); err != nil || calls.Load() != 2 {
				t.Errorf("%v, %d calls", err, calls.Load())
			}
		})
	}
}

func TestARefusalIsNotAskedAgain(t *testing.T) {
	var calls atomic.Int32
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		says(403, refusal("UnauthorizedOperation", "x"))(w, r)
	})
	if err := c.Ask(t.Context(), EC2, "DescribeInstances", nil, nil); err == nil || calls.Load() != 1 {
		t.Errorf("%v, %d calls", err, calls.Load())
	}
}

func TestAWSThatCannotBeReached(t *testing.T) {
	c := client(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	c.retries = atOnce()
	err := c.Ask(t.Context(), EC2, "DescribeInstances", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "ec2:DescribeInstances in region eu-central-1: AWS can't be asked") {
		t.Errorf("err = %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := c.Ask(ctx, EC2, "DescribeInstances", nil, nil); !errors.Is(err, why) {
		t.Errorf("err = %v", err)
	}
}

func TestWhereAServiceIs(t *testing.T) {
	for _, tt := range []struct {
		region, own, ignore string
		want                string
	}{
		{"eu-central-1", "", "", "https://ec2.eu-central-1.amazonaws.com/"},
		{"cn-north-1", "", "", "https://ec2.cn-north-1.amazonaws.com.cn/"},
		{"us-gov-west-1", "", "", "https://ec2.us-gov-west-1.amazonaws.com/"},
		{"us-isob-east-1", "", "", "https://ec2.us-isob-east-1.sc2s.sgov.gov/"},
		{"eu-central-1", "http://ec2.test", "", "http://ec2.test/"},
		{"eu-central-1", "http://ec2.test", "true", "https://ec2.eu-central-1.amazonaws.com/"},
	} {
		t.Setenv("AWS_ENDPOINT_URL_EC2", tt.own)
		t.Setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", tt.ignore)
		if got := New(aws.Config{Region: tt.region}).endpoint(EC2); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.region, got, tt.want)
		}
	}
}

// A question that is lost is not waited for, whoever has made the HTTP client.
func TestNobodyWaitsForEver(t *testing.T) {
	own := &http.Client{}
	for name, tt := range map[string]struct {
		given aws.HTTPClient
		want  time.Duration
	}{
		"none":                      {nil, askFor},
		"the SDK's own":             {awshttp.NewBuildableClient().WithTransportOptions(func(*http.Transport) {}), askFor},
		"one that has its own time": {awshttp.NewBuildableClient().WithTimeout(time.Second), time.Second},
	} {
		c := New(aws.Config{HTTPClient: tt.given})
		if b, ok := c.http.(*awshttp.BuildableClient); !ok || b.GetTimeout() != tt.want {
			t.Errorf("%s: %#v", name, c.http)
		}
	}
	if c := New(aws.Config{HTTPClient: own}); c.http != aws.HTTPClient(own) {
		t.Errorf("a client of one's own became %#v", c.http)
	}
}
