package inputs

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Asset is a file that a release needs and its repository does not have.
type Asset struct {
	Bucket string
	Key    string
	Path   string // in the release: relative, clean, of [A-Za-z0-9._/-]
	SHA256 string // what the file must have, in lower case; "" when the user does not say
}

func (a Asset) String() string { return "s3://" + a.Bucket + "/" + a.Key }

var (
	bucketName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`) // more than AWS allows: other servers do
	regionName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	sha256Hex  = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
)

// ownFolders of a release hold what this action itself puts there.
var ownFolders = []string{".deploy-action", ".venv"}

// setAssets reports every faulty line.
func setAssets(p *parser, value string) error {
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		asset, err := parseAsset(line)
		if err == nil {
			err = errors.Join(clash(p.in.Assets, asset), clashShared(p.in.Shared, asset))
		}
		if err != nil {
			p.fault("assets", fmt.Errorf("%w %s", err, got(line)))
			continue
		}
		p.in.Assets = append(p.in.Assets, asset)
	}
	return nil
}

func parseAsset(line string) (Asset, error) {
	const form = "s3://bucket/key -> path/in/the/release [sha256=<64 hexadecimal digits>]"
	from, to, arrow := strings.Cut(line, " -> ")
	words := strings.Fields(to)
	location, s3 := strings.CutPrefix(strings.TrimSpace(from), "s3://")
	if !arrow || !s3 || len(words) == 0 || len(words) > 2 {
		return Asset{}, fmt.Errorf("must have lines such as %q", form)
	}
	bucket, key, _ := strings.Cut(location, "/")
	a := Asset{Bucket: bucket, Key: key, Path: words[0]}
	if !bucketName.MatchString(bucket) {
		return Asset{}, fmt.Errorf("must have the name of a bucket after s3://")
	}
	if key == "" || strings.HasSuffix(key, "/") || strings.ContainsRune(key, '\t') || len(key) > 1024 {
		return Asset{}, fmt.Errorf("must have the key of one object after the bucket")
	}
	if len(words) == 2 {
		sum, ok := strings.CutPrefix(words[1], "sha256=")
		if !ok || !sha256Hex.MatchString(sum) {
			return Asset{}, fmt.Errorf("must have nothing but sha256= and 64 hexadecimal digits after the path")
		}
		a.SHA256 = strings.ToLower(sum)
	}
	return a, a.checkPath()
}

func (a *Asset) checkPath() error {
	first, _, _ := strings.Cut(path.Clean(a.Path), "/")
	switch {
	case strings.HasPrefix(a.Path, "/") || slices.Contains(strings.Split(a.Path, "/"), ".."):
		return fmt.Errorf("must have a path within the release, without \"..\" and not beginning with \"/\"")
	case !plainPath.MatchString(a.Path) || len(a.Path) > 200:
		return fmt.Errorf("must have a path of at most 200 of A-Z, a-z, 0-9 and . _ / -")
	case strings.HasSuffix(a.Path, "/") || path.Clean(a.Path) == ".":
		return fmt.Errorf("must name the file in the release, not only its folder")
	case slices.Contains(ownFolders, first):
		return fmt.Errorf("must not have a path in %s, which belongs to the action", first)
	}
	a.Path = path.Clean(a.Path)
	return nil
}

// clash finds an earlier asset at the same path, or one that would have to be a folder as well.
func clash(earlier []Asset, a Asset) error {
	for _, e := range earlier {
		if e.Path == a.Path || strings.HasPrefix(e.Path, a.Path+"/") || strings.HasPrefix(a.Path, e.Path+"/") {
			return fmt.Errorf("must have paths that do not collide: %s is taken by %s", e.Path, e)
		}
	}
	return nil
}

// clashShared: what is shared is one and the same for all releases, so an asset in it could not
// come back with a rollback.
func clashShared(shared []string, a Asset) error {
	for _, s := range shared {
		switch {
		case within(s, a.Path):
			return fmt.Errorf("must not have a path that the input \"shared\" names: take %s out of \"shared\", and "+
				"name there the other files in it that must stay, if any; "+
				"an asset belongs to its release, so that a rollback brings back the one before, and is downloaded "+
				"only when it changes", s)
		case within(a.Path, s):
			return fmt.Errorf("must not have a file at %s, which the input \"shared\" needs as a folder for %s: "+
				"choose another path for one of them", a.Path, s)
		}
	}
	return nil
}

func setAWSRegion(p *parser, value string) error {
	if value != "" && !regionName.MatchString(value) {
		return fmt.Errorf("must be the name of a region, such as \"eu-central-1\" %s", got(value))
	}
	p.in.AWSRegion = value
	return nil
}

func setS3Endpoint(p *parser, value string) error {
	u, err := url.Parse(value)
	if value != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "") {
		return fmt.Errorf("must be the URL of a server, such as \"https://minio.example.com:9000\" %s", got(value))
	}
	p.in.S3Endpoint = strings.TrimRight(value, "/")
	return nil
}
