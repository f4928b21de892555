// Package query asks the services of AWS that answer in XML, such as EC2, or in JSON, such as Systems
// Manager. Credentials, signatures, the HTTP client and when to ask again are the SDK's. Its packages
// for EC2, Auto Scaling and Elastic Load Balancing made the image 1.2 MB larger, those for parameters
// and secrets 1.6 MB, the one for Instance Connect 0.2 MB, for a handful of questions, which are few lines
// here.
//
// Its errors carry their remedy in their own text.
package query

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Service is one of AWS's.
type Service struct {
	name     string // in its address, in signatures and in the actions of policies
	version  string // of its API, where that is XML
	target   string // how it is called where its API is JSON
	variable string // what AWS_ENDPOINT_URL_ is followed by where it has an address of its own
}

// The services.
var (
	EC2             = Service{name: "ec2", version: "2016-11-15", variable: "EC2"}
	AutoScaling     = Service{name: "autoscaling", version: "2011-01-01", variable: "AUTO_SCALING"}
	LoadBalancing   = Service{name: "elasticloadbalancing", version: "2015-12-01", variable: "ELASTIC_LOAD_BALANCING_V2"}
	InstanceConnect = Service{
		name: "ec2-instance-connect", target: "AWSEC2InstanceConnectService", variable: "EC2_INSTANCE_CONNECT",
	}
	SystemsManager = Service{name: "ssm", target: "AmazonSSM", variable: "SSM"}
	SecretsManager = Service{name: "secretsmanager", target: "secretsmanager", variable: "SECRETS_MANAGER"}
)

// Client asks them.
type Client struct {
	cfg     aws.Config
	http    aws.HTTPClient
	retries *retry.Standard
}

// New returns a client that asks as cfg says.
func New(cfg aws.Config) *Client {
	c := &Client{cfg: cfg, http: cfg.HTTPClient}
	if c.http == nil {
		c.http = awshttp.NewBuildableClient()
	}
	// The SDK's own, with certificates of AWS_CA_BUNDLE for instance, would wait for ever.
	if own, ok := c.http.(*awshttp.BuildableClient); ok && own.GetTimeout() == 0 {
		c.http = own.WithTimeout(askFor)
	}
	c.retries = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = cmp.Or(cfg.RetryMaxAttempts, attempts)
	})
	return c
}

const (
	attempts  = 5 // unless AWS_MAX_ATTEMPTS says otherwise
	askFor    = 30 * time.Second
	maxAnswer = 32 << 20
)

// Region is where it asks.
func (c *Client) Region() string { return c.cfg.Region }

// Ask has a service do an action, and reads its answer into what a pointer points to, as encoding/xml
// does; nil if it does not matter. A busy service is asked again. Errors are *Error, or the context's.
func (c *Client) Ask(ctx context.Context, s Service, action string, values url.Values, into any) error {
	form := url.Values{"Action": {action}, "Version": {s.version}}
	for name, value := range values {
		form[name] = value
	}
	return c.ask(ctx, s, action, form.Encode(), into)
}

// AskJSON is Ask for a service that talks JSON: the question is one that encoding/json can write.
func (c *Client) AskJSON(ctx context.Context, s Service, action string, question, into any) error {
	text, err := json.Marshal(question)
	if err != nil {
		return &Error{Action: s.name + ":" + action, Region: c.cfg.Region, Err: err}
	}
	return c.ask(ctx, s, action, string(text), into)
}

func (c *Client) ask(ctx context.Context, s Service, action, body string, into any) error {
	var said error // by AWS, which is why there is no time left
	for attempt := 1; ; attempt++ {
		err := c.try(ctx, s, action, body, into)
		if said != nil && ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
			return said
		}
		if err == nil || attempt >= c.retries.MaxAttempts() || !c.retries.IsErrorRetryable(err) {
			return err
		}
		pause, noPause := c.retries.RetryDelay(attempt, err)
		if noPause != nil {
			return err
		}
		said = err
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return cause
			}
			return said
		case <-time.After(pause):
		}
	}
}

func (c *Client) try(ctx context.Context, s Service, action, body string, into any) error {
	failed := &Error{Action: s.name + ":" + action, Region: c.cfg.Region}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint(s), strings.NewReader(body))
	if err != nil {
		failed.Err = err
		return failed
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	unmarshal := xml.Unmarshal
	if s.target != "" {
		request.Header.Set("Content-Type", "application/x-amz-json-1.1")
		request.Header.Set("X-Amz-Target", s.target+"."+action)
		unmarshal = json.Unmarshal
	}
	hash := sha256.Sum256([]byte(body))
	creds, err := c.cfg.Credentials.Retrieve(ctx)
	if err == nil {
		err = v4.NewSigner().SignHTTP(ctx, creds, request, hex.EncodeToString(hash[:]), s.name, c.cfg.Region, time.Now())
	}
	if err != nil {
		failed.Err = err
		return failed
	}
	answer, err := c.http.Do(request)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		_ = answer.Body.Close()
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		failed.Err = err
		return failed
	case answer.StatusCode != http.StatusOK:
		failed.Status = answer.StatusCode
		failed.read(text, unmarshal)
		return failed
	case into == nil:
		return nil
	}
	if unmarshal(text, into) != nil { // whose error may quote a secret
		failed.Err = errors.New("its answer can't be read")
		return failed
	}
	return nil
}

// endpoint is where a service is: what the environment says, as for AWS's own tools
// (docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html), or AWS.
func (c *Client) endpoint(s Service) string {
	own := os.Getenv("AWS_ENDPOINT_URL_" + s.variable)
	if own != "" && !strings.EqualFold(os.Getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		return strings.TrimRight(own, "/") + "/"
	}
	if c.cfg.BaseEndpoint != nil {
		return strings.TrimRight(*c.cfg.BaseEndpoint, "/") + "/"
	}
	return "https://" + s.name + "." + c.cfg.Region + "." + domain(c.cfg.Region) + "/"
}

// domain is that of a region's partition (the SDK's internal/endpoints/awsrulesfn/partitions.json).
func domain(region string) string {
	for prefix, domain := range map[string]string{
		"cn-": "amazonaws.com.cn", "eusc-": "amazonaws.eu", "us-iso-": "c2s.ic.gov", "us-isob-": "sc2s.sgov.gov",
		"eu-isoe-": "cloud.adc-e.uk", "us-isof-": "csp.hci.ic.gov",
	} {
		if strings.HasPrefix(region, prefix) {
			return domain
		}
	}
	return "amazonaws.com"
}
