package e2e

import (
	"os"
	"testing"

	"github.com/clothesme/deploy-action/e2e/world"
)

func TestMain(m *testing.M) { os.Exit(world.Main(m, nil)) }
