package deploy

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/s3"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/scripts"
)

// assets brings the files that the release needs from their store to the hosts.
type assets struct {
	*run
	recipe *recipe
	open   Opener
	store  Store // nil before the step resolve
}

// S3 is the Opener that deployments use.
func S3(ctx context.Context, account *cloud.Account, endpoint string) (Store, error) {
	return s3.Open(ctx, account, endpoint)
}

func (as *assets) none(h *target) bool {
	return len(as.in.Assets) == 0 || h.unchanged || !as.op.makes && !as.op.asks && !h.lacks
}

// lacksNone tells the same of hosts that a rollback has fetch their release.
func (as *assets) lacksNone(h *target) bool { return !h.lacks || as.none(h) }

// resolve asks the store what the assets are now: a changed one makes another release of the same
// commit. It asks once in a run: all hosts get the same, in a bucket that keeps versions by the
// version that was found, whatever comes into its place meanwhile.
func (as *assets) resolve(ctx context.Context) (string, error) {
	if as.recipe.assets == nil {
		var err error
		if as.recipe.assets, err = as.lookUpAssets(ctx); err != nil {
			return "", err
		}
	}
	var size int64
	for _, a := range as.recipe.assets {
		size += a.object.Size
	}
	for _, h := range as.hosts {
		h.assets = slices.Clone(as.recipe.assets)
	}
	return fmt.Sprintf("%d found, %s in all", len(as.recipe.assets), megabytes(size)), as.sameAssets()
}

// sameAssets refuses a rollback by which hosts that have to fetch their release would get other files
// with it than it has on the others.
func (as *assets) sameAssets() error {
	var lacking []*target
	var holder *target
	var has []string
	for _, h := range as.present() {
		if h.lacks {
			lacking = append(lacking, h)
			continue
		}
		for _, r := range h.releases {
			if r.ID == h.release && holder == nil {
				holder, has = h, r.Assets
			}
		}
	}
	if len(lacking) == 0 || len(has) == 0 { // more files than it had do no harm
		return nil
	}
	known, same := map[string]bool{}, true
	for _, a := range as.recipe.assets {
		ids := a.object.IDs(a.SHA256)
		same = same && slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(has, id) })
		for _, id := range ids {
			known[id] = true
		}
	}
	if same && !slices.ContainsFunc(has, func(id string) bool { return !known[id] }) {
		return nil
	}
	return &state.ChoiceError{
		Cause: fmt.Errorf("release %s was made with other files from S3 than the input \"assets\" finds now, as %s "+
			"tells, and would get these on hosts that do not have it: %s",
			holder.release, holder.Address.Name, namesOf(lacking)),
		Next: fmt.Sprintf("deploy commit %.7s with the input \"ref\", so that all hosts get the same, or name a release "+
			"that all of them have with the input \"release\"", holder.commit),
	}
}

func (as *assets) lookUpAssets(ctx context.Context) ([]asset, error) {
	var err error
	if as.store, err = as.open(ctx, as.account, as.in.S3Endpoint); err != nil {
		return nil, err
	}
	as.rep.Mask(as.store.Secrets(ctx)...)
	found := make([]asset, len(as.in.Assets))
	var errs []error
	for i, a := range as.in.Assets {
		found[i], err = as.find(ctx, a)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, a := range found {
		if a.proof == s3.Unproved {
			as.warnUnproved(a)
		}
		if a.object.Version != "" {
			as.rep.Info(fmt.Sprintf("%s is version %s of %s", a.Path, a.object.Version, a))
		}
	}
	return found, nil
}

func (as *assets) find(ctx context.Context, a inputs.Asset) (asset, error) {
	object, err := as.store.Find(ctx, a.Bucket, a.Key)
	return asset{a, object, object.Proof(a.SHA256)}, err
}

func (as *assets) warnUnproved(a asset) {
	as.rep.Warn("Asset "+a.Path, fmt.Sprintf("nothing but %s vouches for %s: add sha256=<its SHA-256> to its line in "+
		"the input \"assets\"", s3.Unproved.By, a))
}

// fetch has the host fetch what it does not have yet, and link everything into the release.
func (as *assets) fetch(ctx context.Context, h *target) (string, error) {
	lines := make([]string, len(h.assets))
	for i := range h.assets {
		res, err := as.fetchOne(ctx, h, i)
		if err != nil {
			return "", err
		}
		as.warnOfRoom(h, res)
		a := h.assets[i]
		if !res.Yes("proved") && a.proof != s3.Unproved {
			a.proof = s3.Unproved
			as.warnUnproved(a)
		}
		switch fetched := int64(res.Int("fetched")); res.OneOf("from", "host", "clone", "store") {
		case "host":
			lines[i] = fmt.Sprintf("%s is here already, nothing fetched", a.Path)
		case "clone":
			lines[i] = fmt.Sprintf("%s is taken from %s, nothing fetched, proved by %s", a.Path, h.Clone(), a.proof.By)
		case "store":
			lines[i] = fmt.Sprintf("%s, %s of %s fetched, proved by %s", a.Path, megabytes(fetched),
				megabytes(a.object.Size), a.proof.By)
		}
		if err := res.Err(); err != nil {
			return "", err
		}
	}
	return strings.Join(lines, "; "), nil
}

var errCredentialsEnded = errors.New("the AWS credentials have ended: they must last longer than the deployment " +
	"takes until here " +
	"(role-duration-seconds of aws-actions/configure-aws-credentials)")

// fetchOne brings one asset to the host. A URL that has ended is signed again, and the download
// goes on; an object that was replaced is looked up again, and the download starts over, once. With
// several hosts it has to be the same then: others may have what it was.
func (as *assets) fetchOne(ctx context.Context, h *target, i int) (*scripts.Results, error) {
	for again, ended := false, false; ; {
		a := h.assets[i]
		signed, until, err := as.store.Sign(ctx, a.object)
		if err != nil {
			return nil, err
		}
		if ended && !as.now().Before(until) {
			return nil, errCredentialsEnded
		}
		as.rep.Mask(signatures(signed)...)
		res, err := h.Exec(ctx, scripts.Assets, scripts.Values{
			"release": h.release, "target": a.Path, "url": signed, "etag": a.object.ETag,
			"size":  strconv.FormatInt(a.object.Size, 10),
			"asset": a.id(), "download": a.object.Download(), "digest": a.proof.Digest, "recipe": as.recipe.of(h),
			"clone": h.Clone(),
			"last":  scripts.Yes(i == len(h.assets)-1),
		})
		if err == nil {
			return res, nil
		}
		var no *host.Error
		switch {
		case !errors.As(err, &no):
			return nil, err
		case no.Code == scripts.ExitAssetRefused && !as.now().Before(until):
			ended = true
			as.rep.Info(fmt.Sprintf("the signed URL of %s has ended; signing another", a.Path))
		case no.Code == scripts.ExitAssetStale && !again:
			again = true
			now, err := as.find(ctx, a.Asset)
			if err != nil {
				return nil, err
			}
			if was, is := a.object.ETag, now.object.ETag; was != is && len(as.hosts) > 1 {
				return nil, fmt.Errorf("%s was replaced in S3 during this run (ETag %s, before %s), and hosts that have "+
					"fetched it already would have another one: run this workflow again; a bucket that keeps versions spares "+
					"that", a, is, was)
			}
			h.assets[i] = now
			as.rep.Info(fmt.Sprintf("%s is looked up again, and its download starts over", a))
		default:
			return nil, err
		}
	}
}

// signatures returns a signed URL and the parts of it that open the object by themselves, as they
// stand in it and decoded.
func signatures(signed string) []string {
	secrets := []string{signed}
	_, query, _ := strings.Cut(signed, "?")
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name == "X-Amz-Signature" || name == "X-Amz-Security-Token" {
			secrets = append(secrets, value)
			if decoded, err := url.QueryUnescape(value); err == nil && decoded != value {
				secrets = append(secrets, decoded)
			}
		}
	}
	return secrets
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

// Store is where assets come from.
type Store interface {
	Find(ctx context.Context, bucket, key string) (s3.Object, error)
	Sign(ctx context.Context, object s3.Object) (url string, until time.Time, err error)
	Secrets(ctx context.Context) []string
}

// Opener opens the store, once a deployment has assets.
type Opener func(ctx context.Context, account *cloud.Account, endpoint string) (Store, error)
