package e2e

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/s3"
	"github.com/clothesme/deploy-action/e2e/world"
)

const (
	bucket    = "my-models"        // as docs/iam.md has it
	modelKey  = "v7/type model.h5" // a blank, which URLs have to carry
	modelPath = "ai_models/type_model.h5"
	modelLine = "s3://" + bucket + "/" + modelKey + " -> " + modelPath
	megabyte  = 1 << 20
)

// modelWorld is a world with an S3 server that holds a model.
type modelWorld struct {
	*world.World
	s3    *s3.Server
	model []byte
}

func newModelWorld(t *testing.T, size int, options lab.HostOptions) *modelWorld {
	t.Helper()
	w := &modelWorld{World: world.New(t, options)}
	var err error
	if w.s3, err = s3.Start(w.Ctx, world.Shared.Lab); err != nil {
		t.Fatal(err)
	}
	if err := w.s3.Bucket(w.Ctx, bucket); err != nil {
		t.Fatal(err)
	}
	w.mayAllBut("")
	w.put(size)
	return w
}

// mayAllBut has the credentials of the step do what docs/iam.md says of the input, but for some actions. S3
// gets it as a policy of the bucket's, which names them; there are no keys of KMS here.
func (w *modelWorld) mayAllBut(without string) {
	w.T.Helper()
	policy, err := policyOf(w.T, "iam.md", "assets", "kms:Decrypt "+without).For(w.s3.User())
	if err == nil {
		err = w.s3.Allow(w.Ctx, bucket, policy)
	}
	if err != nil {
		w.T.Fatal(err)
	}
}

// put uploads another model of that size.
func (w *modelWorld) put(size int) {
	w.T.Helper()
	w.model = make([]byte, size)
	_, _ = rand.Read(w.model)
	if err := w.s3.Put(w.Ctx, bucket, modelKey, w.model, nil); err != nil {
		w.T.Fatal(err)
	}
}

func (w *modelWorld) Job(sha string, with map[string]string) lab.Job {
	inputs := map[string]string{"assets": modelLine, "s3-endpoint": w.s3.URL()}
	maps.Copy(inputs, with)
	job := w.World.Job(sha, inputs)
	job.Env = w.s3.Env()
	return job
}

func (w *modelWorld) Deploy(sha string, with map[string]string) *lab.Result {
	w.T.Helper()
	result := w.Run(w.Job(sha, with))
	if result.ExitCode != 0 || result.Outputs["outcome"] != "deployed" {
		w.T.Fatalf("deployment: exit code %d, outcome %q\n%s", result.ExitCode, result.Outputs["outcome"], result.Log())
	}
	return result
}

// has wants the model in a slot's release to be this one, through a link to what the host keeps by
// content.
func (w *modelWorld) has(port string, model []byte) {
	w.T.Helper()
	out := w.Exec("cd -P /home/ubuntu/shop/slots/" + port + " && readlink " + modelPath + " && sha256sum <" +
		modelPath + " && stat -L -c '%a %U' " + modelPath)
	want := fmt.Sprintf("/file\n%x  -\n444 ubuntu", sha256.Sum256(model))
	if !strings.HasPrefix(out, "../../../assets/") || !strings.HasSuffix(out, want) {
		w.T.Errorf("slot %s has\n%s\nwant it to end in\n%s", port, out, want)
	}
}

// kept lists what is in the folder of assets.
func (w *modelWorld) kept() string {
	w.T.Helper()
	return w.Exec("ls /home/ubuntu/shop/assets 2>/dev/null || true")
}

func sent(gets []s3.Get) (bytes int64) {
	for _, get := range gets {
		bytes += get.Bytes
	}
	return bytes
}

func TestAssetsAreFetchedOnceAndLinked(t *testing.T) {
	w := newModelWorld(t, 8*megabyte, lab.HostOptions{})
	first := w.Deploy(w.Commit(nil), nil)
	world.Says(t, first, "✓ assets: "+modelPath+", 8.4 MB of 8.4 MB fetched, proved by its ETag, an MD5")
	w.has("8080", w.model)
	if gets := w.s3.Gets(); len(gets) != 1 || gets[0].Bytes != int64(len(w.model)) {
		t.Errorf("GETs %v", gets)
	}
	w.UnderLoad()

	sha := w.Commit(nil)
	world.Says(t, w.Deploy(sha, nil), "✓ assets: "+modelPath+" is here already, nothing fetched")
	w.has("8081", w.model)
	again := w.Run(w.Job(sha, nil))
	if again.ExitCode != 0 || again.Outputs["outcome"] != "unchanged" {
		t.Errorf("exit code %d, outputs %v", again.ExitCode, again.Outputs)
	}
	if gets := w.s3.Gets(); len(gets) != 0 {
		t.Errorf("an unchanged model was fetched: %v", gets)
	}

	old := w.model
	w.put(9 * megabyte)
	// the same commit is another release with it
	world.Says(t, w.Deploy(sha, nil), "✓ assets: "+modelPath+", 9.4 MB of 9.4 MB fetched")
	w.has("8080", w.model)
	w.has("8081", old)
	if out, want := w.kept(), 2; len(strings.Fields(out)) != want {
		t.Errorf("assets kept: %s", out)
	}
	for range 2 {
		w.Deploy(w.Commit(nil), map[string]string{"keep-releases": "2", "watch-for": "0s"})
	}
	if out := w.kept(); out != fmt.Sprintf("%x", md5.Sum(w.model)) {
		t.Errorf("assets kept after two more releases: %s", out)
	}
}

func TestAssetDownloadGoesOnAfterACut(t *testing.T) {
	w := newModelWorld(t, 40*megabyte, lab.HostOptions{})
	half := int64(len(w.model)) / 2
	w.s3.Cut(half)
	world.Says(t, w.Deploy(w.Commit(nil), nil), "curl: (18)")
	w.has("8080", w.model)
	gets := w.s3.Gets()
	if len(gets) != 2 || gets[0].Bytes != half || gets[1].Status != 206 || gets[1].Bytes > half+megabyte {
		t.Errorf("GETs %+v", gets)
	}
	t.Logf("cut at half: %.1f %% of the bytes again", 100*float64(gets[len(gets)-1].Bytes)/float64(len(w.model)))

	// No way through at all, and a run later it goes on.
	w.put(10 * megabyte)
	w.s3.Cut(4*megabyte, 0, 0, 0, 0, 0)
	sha := w.Commit(nil)
	world.Failed(t, w.Run(w.Job(sha, nil)), "failed", "assets: the download of "+modelPath+" does not get beyond "+
		"4194304 of 10485760 bytes", "curl: (", "site: unchanged", "goes on where this one stopped")
	w.s3.Gets()
	world.Says(t, w.Deploy(sha, nil), "going on with an earlier download, at 4194304 of 10485760 bytes")
	w.has("8081", w.model)
	if again := sent(w.s3.Gets()); again != 6*megabyte {
		t.Errorf("%d bytes in the second run", again)
	}
}

func TestAssetDownloadOfAKilledRunIsGoneOnWith(t *testing.T) {
	w := newModelWorld(t, 8*megabyte, lab.HostOptions{})
	w.s3.Rate(50_000)
	arrived := w.s3.BeforeGet(func() {})
	running, err := w.Runner.Start(w.Ctx, w.Job(w.Commit(nil), nil))
	if err != nil {
		t.Fatal(err)
	}
	<-arrived
	w.Exec("timeout 120 bash -c 'until [ -s /home/ubuntu/shop/assets/*.partial ]; do sleep 0.05; done'")
	if err := running.Kill(w.Ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := running.Wait(); err != nil {
		t.Fatal(err)
	}
	w.s3.Rate(0)
	world.Says(t, w.Deploy(w.Commit(nil), nil), "going on with an earlier download")
	w.has("8080", w.model)
	if total := sent(w.s3.Gets()); total > int64(len(w.model))+megabyte {
		t.Errorf("%d bytes were sent of %d", total, len(w.model))
	}
}

func TestAssetReplacedWhileItIsFetched(t *testing.T) {
	w := newModelWorld(t, 4*megabyte, lab.HostOptions{})
	replaced := w.s3.BeforeGet(func() { w.put(5 * megabyte) })
	sha := w.Commit(nil)
	result := w.Deploy(sha, nil)
	<-replaced
	world.Says(t, result, "was replaced in S3 during the download", "its download starts over")
	w.has("8080", w.model)
	again := w.Run(w.Job(sha, nil))
	if again.Outputs["outcome"] != "unchanged" {
		t.Errorf("the next run of the same: outcome %q, want unchanged\n%s", again.Outputs["outcome"], again.Log())
	}
}

// All hosts get the model that the run began with, or none gets the release.
func TestHostsGetOneVersionOfAModel(t *testing.T) {
	w := newModelWorld(t, 2*megabyte, lab.HostOptions{})
	fl := fleet{w.World, world.New(t, lab.HostOptions{})}
	for _, host := range fl {
		host.Warm()
	}
	sha := w.Commit(nil)
	replaced := w.s3.BeforeGet(func() { w.put(3 * megabyte) })
	result := w.Run(w.Job(sha, fl.with(nil)))
	<-replaced
	world.Failed(t, result, "failed", "assets: s3://my-models/v7/type model.h5 was replaced in S3 during this run (ETag ",
		"run this workflow again")

	if err := w.s3.Versions(w.Ctx, bucket); err != nil {
		t.Fatal(err)
	}
	w.put(2 * megabyte)
	found := w.model
	replaced = w.s3.BeforeGet(func() { w.put(3 * megabyte) })
	result = w.Run(w.Job(sha, fl.with(nil)))
	<-replaced
	fl.ended(result, "deployed")
	for _, host := range fl {
		(&modelWorld{host, w.s3, nil}).has("8080", found)
	}

	// A host that lacks a release would get today's model with it.
	first := result.Outputs["release"]
	second := w.Run(w.Job(w.Commit(nil), fl.with(nil)))
	fl.ended(second, "deployed")
	fl[1].Exec("rm -r /home/ubuntu/shop/releases/" + first)
	world.Failed(t, w.Run(w.Job("", fl.with(map[string]string{"operation": "rollback"}))), "failed",
		"resolve: release "+first+" was made with other files from S3 than the input \"assets\" finds now",
		"next: deploy commit "+sha[:7]+" with the input \"ref\"")
	fl.live(second, "8081")
}

func TestAssetThatCannotBeHadLeavesTheOldVersion(t *testing.T) {
	w := newModelWorld(t, 2*megabyte, lab.HostOptions{})
	w.mayAllBut("s3:ListBucket s3:GetObjectVersion") // which are not needed for what is there and has no versions
	good := w.Deploy(w.Commit(nil), nil).Outputs
	w.UnderLoad()
	old := w.model
	for _, tt := range []struct {
		name    string
		without string // of what docs/iam.md allows
		prepare func(*modelWorld)
		with    map[string]string
		files   map[string]string
		env     map[string]string
		words   []string
	}{
		{
			name: "missing object", with: map[string]string{"assets": "s3://my-models/v7/nothing -> m"},
			words: []string{"resolve: look up s3://my-models/v7/nothing: no such object (404)"},
		},
		{
			name: "missing object of a bucket that may not be listed", without: "s3:ListBucket",
			with: map[string]string{"assets": "s3://my-models/v7/nothing -> m"},
			words: []string{
				"resolve: look up s3://my-models/v7/nothing: the credentials are refused (403 AccessDenied: ",
				"not authorized to perform: s3:ListBucket on resource",
			},
		},
		{
			name: "an object that may not be read", without: "s3:GetObject",
			words: []string{
				"resolve: look up s3://my-models/v7/type model.h5: the credentials are refused (403 AccessDenied): they must be " +
					"valid and allow s3:GetObject there, ",
			},
		},
		{
			name: "missing bucket", with: map[string]string{"assets": "s3://no-such-bucket/x -> m"},
			words: []string{"resolve: look up s3://no-such-bucket/x: no such bucket (404)"},
		},
		{
			name: "wrong secret key", env: map[string]string{"AWS_SECRET_ACCESS_KEY": "wrong"},
			words: []string{
				"resolve: look up s3://my-models/v7/type model.h5: the secret key is not this access key's: correct " +
					"AWS_SECRET_ACCESS_KEY (403 SignatureDoesNotMatch)",
			},
		},
		{
			name: "unknown access key", env: map[string]string{"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN"},
			words: []string{"there is no such access key: correct AWS_ACCESS_KEY_ID, ", "(403 InvalidAccessKeyId)"},
		},
		{
			name: "no credentials", env: map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
			words: []string{
				"resolve: no AWS credentials: give the input \"role-to-assume\", " +
					"or run aws-actions/configure-aws-credentials",
			},
		},
		{
			name: "no region", env: map[string]string{"AWS_REGION": "", "AWS_DEFAULT_REGION": ""},
			words: []string{"resolve: no AWS region", "aws-region"},
		},
		{
			name: "a profile", env: map[string]string{"AWS_PROFILE": "deploy"},
			words: []string{`resolve: no AWS profile "deploy"`, "~/.aws"},
		},
		{
			name: "no server", with: map[string]string{"s3-endpoint": "http://127.0.0.1:9"},
			words: []string{"resolve: look up s3://my-models/v7/type model.h5", "connection refused"},
		},
		{
			name: "wrong sha256", prepare: func(w *modelWorld) { w.put(2 * megabyte) },
			with: map[string]string{"assets": modelLine + " sha256=" + strings.Repeat("0", 64)},
			words: []string{
				"assets: " + modelPath + " is not the file it should be", strings.Repeat("0", 64), "compare the sha256",
			},
		},
		{
			name:  "a file of the repository's in its place",
			files: map[string]string{modelPath: "version https://git-lfs.github.com/spec/v1\n"},
			words: []string{
				"assets: the release has a regular file of 43 bytes of its own at " + modelPath, "another path",
			},
		},
		{
			name: "a file of the repository's where a folder should be", files: map[string]string{"ai_models": "x\n"},
			words: []string{"its ai_models is not a folder of the release's own"},
		},
		{
			name:  "a folder that a build made a link out of the release",
			with:  map[string]string{"build": "ln -s /tmp ai_models"},
			words: []string{"its ai_models is not a folder of the release's own"},
		},
		{
			name: "deleted in between", prepare: func(w *modelWorld) {
				w.put(2 * megabyte)
				w.s3.BeforeGet(func() {
					if err := w.s3.Delete(w.Ctx, bucket, modelKey); err != nil {
						w.T.Error(err)
					}
				})
			},
			words: []string{"assets: " + modelPath + " has vanished from S3"},
		},
		{
			name: "a version that may not be read", without: "s3:GetObjectVersion", prepare: func(w *modelWorld) {
				if err := w.s3.Versions(w.Ctx, bucket); err != nil {
					w.T.Fatal(err)
				}
				w.put(2 * megabyte)
			},
			words: []string{
				"assets: S3 refuses the host the signed URL of " + modelPath + " (status 403)",
				"whether s3:GetObjectVersion is allowed where the bucket keeps versions",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &modelWorld{w.In(t), w.s3, w.model}
			w.mayAllBut(tt.without)
			if tt.prepare != nil {
				tt.prepare(w)
			}
			job := w.Job(w.Commit(tt.files), tt.with)
			job.Env["AWS_EC2_METADATA_DISABLED"] = "true"
			maps.Copy(job.Env, tt.env)
			result := w.Run(job)
			world.Failed(t, result, "failed", append(tt.words, "site: unchanged",
				good["release"]+" on port 8080 serves", "next: ")...)
			w.Serves(good["release"])
			w.has("8080", old)
		})
	}
	w.mayAllBut("")
	w.put(2 * megabyte)
	w.Deploy(w.Commit(nil), nil)
	w.has("8081", w.model)
	if out := w.kept(); strings.Contains(out, "partial") {
		t.Errorf("assets kept: %s", out)
	}
	if out := w.Exec("ls -d /home/ubuntu/shop/releases/*/ | wc -l"); out != "2" {
		t.Errorf("%s releases are there, want the two that were live", out)
	}
}

func TestAssetOnAFullDisk(t *testing.T) {
	const root = "/home/ubuntu/shop"
	w := newModelWorld(t, 2*megabyte, lab.HostOptions{Tmpfs: map[string]string{root + "/assets": "size=6m,mode=0777"}})
	w.Exec("chown ubuntu: " + root)
	good := w.Deploy(w.Commit(nil), nil).Outputs
	old := w.model
	w.put(5 * megabyte)
	world.Failed(t, w.Run(w.Job(w.Commit(nil), nil)), "failed",
		"assets: "+modelPath+" needs 6 MB of disk, a tenth to spare included; 4 MB are free at "+root+"/assets",
		"site: unchanged", "or free some of it")
	if gets := w.s3.Gets(); len(gets) != 1 {
		t.Errorf("it was fetched all the same: %v", gets)
	}
	// Somebody else fills the disk meanwhile.
	w.put(3 * megabyte)
	w.s3.BeforeGet(func() { w.Exec("head -c 3m /dev/zero >" + root + "/assets/other") })
	world.Failed(t, w.Run(w.Job(w.Commit(nil), nil)), "failed",
		"assets: the download of "+modelPath+" could not be written", "site: unchanged", "or free some of it")
	w.Serves(good["release"])
	w.has("8080", old)
	w.Exec("rm " + root + "/assets/other")
	w.Deploy(w.Commit(nil), nil)
	w.has("8081", w.model)
}

// What lets anybody fetch the model is nowhere that others look: not while it is used, and not
// afterwards.
func TestAssetSecretsStaySecret(t *testing.T) {
	w := newModelWorld(t, megabyte, lab.HostOptions{})
	var seen string
	looked := w.s3.BeforeGet(func() {
		seen = w.Exec("pgrep -x curl >/dev/null && cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr " +
			"'\\0' '\\n'")
	})
	result := w.Deploy(w.Commit(nil), nil)
	<-looked
	var signature string
	for _, mask := range result.Masks() {
		if u, err := url.Parse(mask); err == nil && u.Query().Get("X-Amz-Signature") != "" {
			signature = u.Query().Get("X-Amz-Signature")
		}
	}
	if signature == "" {
		t.Fatal("the signed URL is not masked")
	}
	if !strings.Contains(seen, "curl") {
		t.Errorf("curl was not seen at work:\n%s", seen)
	}
	var log strings.Builder
	for _, line := range result.Lines {
		if line.Command == nil || line.Command.Name != "add-mask" {
			log.WriteString(line.Text + "\n")
		}
	}
	secret := w.s3.Env()["AWS_SECRET_ACCESS_KEY"]
	for name, text := range map[string]string{
		"a process": seen, "the log": log.String(),
		"the summary": result.Summary,
	} {
		for _, word := range []string{signature, secret, "X-Amz-"} {
			if strings.Contains(text, word) {
				t.Errorf("%s shows %q", name, word)
			}
		}
	}
	if out := w.Exec("grep -rlF -e " + signature + " -e " + secret +
		" --exclude-dir=proc --exclude-dir=sys / 2>/dev/null || true"); out != "" {
		t.Errorf("on the host's disk: %s", out)
	}
}

func TestAssetIsProvedByTheBestDigest(t *testing.T) {
	w := newModelWorld(t, megabyte, lab.HostOptions{})
	sum := fmt.Sprintf("%x", sha256.Sum256(w.model))
	world.Says(t, w.Deploy(w.Commit(nil), map[string]string{"assets": modelLine + " sha256=" + sum}),
		"proved by the sha256 in the workflow")
	if out := w.kept(); out != sum {
		t.Errorf("assets kept: %s", out)
	}
	noted := bytes.Repeat([]byte("n"), megabyte)
	if err := w.s3.Put(w.Ctx, bucket, "v7/noted", noted, map[string]string{"sha256": fmt.Sprintf("%x",
		sha256.Sum256(noted))}); err != nil {
		t.Fatal(err)
	}
	both := modelLine + "\ns3://my-models/v7/noted -> a/deep/folder/noted"
	world.Says(t, w.Deploy(w.Commit(nil), map[string]string{"assets": both}),
		modelPath+", 1.0 MB of 1.0 MB fetched, proved by its ETag, an MD5; a/deep/folder/noted, 1.0 MB of 1.0 MB "+
			"fetched, proved by the x-amz-meta-sha256 of its upload")
	w.Exec("cmp <(head -c " + fmt.Sprint(megabyte) + " /dev/zero | tr '\\0' n) " +
		"/home/ubuntu/shop/slots/8081/a/deep/folder/noted")
}

// A download in parts is proved where the parts are of a length in use, and else only by its size.
func TestAssetInPartsIsProved(t *testing.T) {
	w := newModelWorld(t, megabyte, lab.HostOptions{})
	if err := w.s3.PutParts(w.Ctx, bucket, modelKey, bytes.Repeat([]byte("16"), 9*megabyte), 16*megabyte); err != nil {
		t.Fatal(err)
	}
	world.Says(t, w.Deploy(w.Commit(nil), nil), "18.9 MB of 18.9 MB fetched, proved by its ETag, the MD5 of its "+
		"parts' MD5s")
	if err := w.s3.PutParts(w.Ctx, bucket, modelKey, bytes.Repeat([]byte("07"), 6*megabyte), 7*megabyte); err != nil {
		t.Fatal(err)
	}
	world.Says(t, w.Deploy(w.Commit(nil), nil), "12.6 MB of 12.6 MB fetched, proved by size and ETag alone",
		"nothing but size and ETag alone vouches for s3://my-models/")
}

// BenchmarkAssetFirstFetch compares the step with plain curl on the host, in alternating rounds, at
// the rate at which S3 serves one connection, and as fast as this machine goes.
func BenchmarkAssetFirstFetch(b *testing.B) {
	ctx := b.Context()
	server, err := s3.Start(ctx, world.Shared.Lab)
	if err != nil {
		b.Fatal(err)
	}
	model := make([]byte, 300_000_000)
	_, _ = rand.Read(model)
	w, _, job := benchHost(b)
	if err := server.Bucket(ctx, bucket); err != nil {
		b.Fatal(err)
	}
	job.With["assets"], job.With["s3-endpoint"], job.Env = "s3://my-models/model -> model", server.URL(), server.Env()
	round := func(rate int64) (action, curl float64) {
		_, _ = rand.Read(model[:32]) // another model is another release
		if err := server.Put(ctx, bucket, "model", model, nil); err != nil {
			b.Fatal(err)
		}
		server.Rate(rate)
		url, err := server.Presign(ctx, bucket, "model")
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if _, err := w.Host.ExecUser(ctx, "curl -fsS -o model '"+url+"'"); err != nil {
			b.Fatal(err)
		}
		curl = time.Since(begin).Seconds()
		result, err := w.Runner.Run(ctx, job)
		if err != nil || result.ExitCode != 0 {
			b.Fatalf("deploy: %v\n%s", err, result.Log())
		}
		for _, group := range result.Groups() {
			if group.Title == "Fetching the assets" {
				action = group.End.Sub(group.Start).Seconds()
			}
		}
		return action, curl
	}
	for b.Loop() {
		for _, at := range []struct {
			name string
			rate int64
		}{{"100MB/s", 100_000_000}, {"unlimited", 0}} {
			var action, curl []float64
			for range 3 {
				a, c := round(at.rate)
				action, curl = append(action, a), append(curl, c)
			}
			b.ReportMetric(median(action), "action-s-"+at.name)
			b.ReportMetric(median(curl), "curl-s-"+at.name)
			b.ReportMetric(median(action)/median(curl), "ratio-"+at.name)
		}
	}
}
