package e2e

import (
	"compress/gzip"
	"io"
	"os/exec"
	"testing"

	"github.com/clothesme/deploy-action/e2e/world"
)

// The image is fetched by each job that runs it.
const (
	mostImage      = 16_000_000 // bytes, on the runner's disk
	mostCompressed = 5_600_000  // bytes, on the way
)

// counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func TestTheImageIsSmall(t *testing.T) {
	var whole, compressed counter
	z, err := gzip.NewWriterLevel(&compressed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	save := exec.CommandContext(t.Context(), "docker", "image", "save", world.ActionImage())
	save.Stdout = io.MultiWriter(&whole, z)
	if err := save.Run(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if t.Logf("%d bytes, compressed %d", whole, compressed); whole > mostImage || compressed > mostCompressed {
		t.Errorf("want at most %d and %d", mostImage, mostCompressed)
	}
}
