package s3

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Object is one version of an object, as S3 describes it. Digests are lower-case hexadecimal, empty
// where there is none.
type Object struct {
	Bucket, Key string
	Version     string // empty where the bucket keeps no versions
	ETag        string // without its quotes
	Size        int64
	SHA256      string // S3's own, of the whole object
	Noted       string // what the uploader wrote into x-amz-meta-sha256
	MD5         string // the ETag, where that is one
	Parts       string // the ETag, where that is the MD5 of the MD5s of its parts, and their number
}

func (o Object) String() string { return "s3://" + o.Bucket + "/" + o.Key }

var (
	plainETag = regexp.MustCompile(`^[!#-\[\]-~]{1,200}$`) // fit for a quoted header
	sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)
	md5Hex    = regexp.MustCompile(`^[0-9a-f]{32}$`)
	partsETag = regexp.MustCompile(`^[0-9a-f]{32}-[0-9]{1,5}$`)
)

// Find asks for an object without fetching it.
func (s *Store) Find(ctx context.Context, bucket, key string) (Object, error) {
	o := Object{Bucket: bucket, Key: key}
	head, err := s.client.HeadObject(ctx, &awss3.HeadObjectInput{
		Bucket: &bucket, Key: &key,
		ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return o, s.explain(ctx, o, err)
	}
	// Objects of other classes are read at once. A HEAD says of an archived one whether it has been
	// restored. docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
	archived := head.StorageClass == types.StorageClassGlacier || head.StorageClass == types.StorageClassDeepArchive ||
		head.ArchiveStatus != ""
	if archived && !strings.Contains(aws.ToString(head.Restore), `ongoing-request="false"`) {
		return o, fmt.Errorf("look up %s: it is archived (%s), and can't be read before it is restored: "+
			"restore it, or keep a copy of it in another storage class", o, cmp.Or(string(head.ArchiveStatus),
			string(head.StorageClass)))
	}
	o.Version, o.Size = aws.ToString(head.VersionId), aws.ToInt64(head.ContentLength)
	if o.ETag = strings.Trim(aws.ToString(head.ETag), `"`); !plainETag.MatchString(o.ETag) {
		return o, fmt.Errorf("look up %s: the server gives it the ETag %q, by which a change could not be noticed", o,
			o.ETag)
	}
	if sum, err := base64.StdEncoding.DecodeString(aws.ToString(head.ChecksumSHA256)); err == nil &&
		len(sum) == sha256.Size &&
		head.ChecksumType != types.ChecksumTypeComposite {
		o.SHA256 = hex.EncodeToString(sum)
	}
	if noted := strings.ToLower(head.Metadata["sha256"]); sha256Hex.MatchString(noted) {
		o.Noted = noted
	}
	// Under a key of KMS's or the customer's, the ETag is something else.
	plain := head.ServerSideEncryption == "" || head.ServerSideEncryption == types.ServerSideEncryptionAes256
	switch {
	case !plain || head.SSECustomerAlgorithm != nil:
	case md5Hex.MatchString(o.ETag):
		o.MD5 = o.ETag
	case partsETag.MatchString(o.ETag):
		o.Parts = o.ETag
	}
	return o, nil
}

// refusals are S3's reasons, with what to do about each:
// docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
var refusals = map[string]string{
	"ExpiredToken": "the credentials have expired: run aws-actions/configure-aws-credentials just before this step, " +
		"with a role-duration-seconds that lasts until its end",
	"InvalidToken": "the session token is not one of these credentials: AWS_SESSION_TOKEN must come from where " +
		"AWS_ACCESS_KEY_ID comes from",
	"InvalidAccessKeyId": "there is no such access key: correct AWS_ACCESS_KEY_ID, or use the credentials of the cloud " +
		"whose endpoint this is",
	"SignatureDoesNotMatch": "the secret key is not this access key's: correct AWS_SECRET_ACCESS_KEY",
	"RequestTimeTooSkewed":  "the runner's clock is wrong by more than 15 minutes: put it right",
	"AuthorizationHeaderMalformed": "the bucket is in another region than the one that was asked: set the input " +
		"\"aws-region\" to the bucket's",
	"PermanentRedirect": "the bucket is in another region than the one that was asked: set the input \"aws-region\" to " +
		"the bucket's",
	"InvalidBucketName": "no bucket can have that name: correct it in the input \"assets\"",
	"AllAccessDisabled": "AWS has disabled access to the bucket",
}

// explain says what to do about an error. The answer to a HEAD has no body, so a GET of one byte
// asks for the reason.
func (s *Store) explain(ctx context.Context, o Object, err error) error {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) {
		return fmt.Errorf("look up %s: %w", o, err)
	}
	status := response.HTTPStatusCode()
	if region := response.HTTPResponse().Header.Get("X-Amz-Bucket-Region"); region != "" && region != s.region &&
		status < http.StatusInternalServerError {
		return fmt.Errorf("look up %s: the bucket is in region %s, not in %s: set the input \"aws-region\"", o, region,
			s.region)
	}
	switch status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
	default:
		return fmt.Errorf("look up %s: %w", o, err)
	}
	var reason string
	var api smithy.APIError
	if _, err := s.client.GetObject(ctx, &awss3.GetObjectInput{
		Bucket: &o.Bucket, Key: &o.Key,
		Range: aws.String("bytes=0-0"),
	}); errors.As(err, &api) {
		reason = api.ErrorCode()
	}
	if remedy := refusals[reason]; remedy != "" {
		return fmt.Errorf("look up %s: %s (%d %s)", o, remedy, status, reason)
	}
	switch reason {
	case "InvalidRequest": // docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
		if strings.Contains(api.ErrorMessage(), "Server Side Encryption") {
			return fmt.Errorf("look up %s: it is encrypted with a key of the customer's (SSE-C), which the host "+
				"can't be given: "+
				"upload it with SSE-S3 or SSE-KMS", o)
		}
		return fmt.Errorf("look up %s: %d %s: %s", o, status, reason, api.ErrorMessage())
	case "NoSuchBucket":
		return fmt.Errorf("look up %s: no such bucket (404): correct it in the input \"assets\"", o)
	case "NoSuchKey":
		return fmt.Errorf("look up %s: no such object (404): correct its key in the input \"assets\", or upload it", o)
	}
	if api != nil && strings.Contains(api.ErrorMessage(), "not authorized to perform") { // which of them, or whose key
		reason += ": " + api.ErrorMessage()
	}
	return fmt.Errorf("look up %s: the credentials are refused (%d %s): they must be valid and allow s3:GetObject "+
		"there, "+
		"s3:ListBucket on the bucket (without it a missing object is refused as well), and kms:Decrypt where its "+
		"key is KMS's", o, status, reason)
}

// Proof is how a file is proved to be the object.
type Proof struct {
	Digest string // "sha256:<hex>", "md5:<hex>", "parts:<hex>-<number>", or nothing: then only the size can be compared
	By     string // who vouches for it, for people
}

// Unproved is all there is when no digest is to be had.
var Unproved = Proof{"", "size and ETag alone"}

// Proof chooses the digest most worthy of trust: the one that the user gives, if any, S3's own, the
// uploader's, the ETag.
func (o Object) Proof(given string) Proof {
	switch {
	case given != "":
		return Proof{"sha256:" + given, "the sha256 in the workflow"}
	case o.SHA256 != "":
		return Proof{"sha256:" + o.SHA256, "S3's own SHA-256"}
	case o.Noted != "":
		return Proof{"sha256:" + o.Noted, "the x-amz-meta-sha256 of its upload"}
	case o.MD5 != "":
		return Proof{"md5:" + o.MD5, "its ETag, an MD5"}
	case o.Parts != "":
		return Proof{"parts:" + o.Parts, "its ETag, the MD5 of its parts' MD5s"}
	}
	return Unproved
}

// ID names the content that is proved so: what has one ID has one content. It is hexadecimal
// digits, and after a hyphen decimal ones.
func (o Object) ID(p Proof) string {
	_, digest, _ := strings.Cut(p.Digest, ":")
	switch {
	case digest != "":
		return digest
	case md5Hex.MatchString(o.ETag) || partsETag.MatchString(o.ETag):
		return o.ETag
	}
	return shortSum(o.ETag)
}

// IDs are all that the content may be named by; which it is depends on how it is proved.
func (o Object) IDs(given string) []string {
	ids := []string{o.ID(Unproved)}
	for _, digest := range []string{given, o.SHA256, o.Noted, o.MD5, o.Parts} {
		if digest != "" {
			ids = append(ids, digest)
		}
	}
	return ids
}

// Download names an unfinished download, which can be gone on with as long as the object is the
// same.
func (o Object) Download() string {
	return shortSum(strings.Join([]string{o.Bucket, o.Key, o.Version, o.ETag, fmt.Sprint(o.Size)}, "\x00"))
}

func shortSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}
