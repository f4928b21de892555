# The action's image: one static binary, CA certificates, and /tmp.

# BuildKit sets BUILDPLATFORM: the build then runs on the machine's own architecture and cross-compiles, without
# emulation. The classic builder knows no platforms; "linux" is its own.
ARG BUILDPLATFORM=${BUILDPLATFORM:-linux}
# By digest, so that nobody can exchange it behind our backs; dependabot brings newer ones.
FROM --platform=$BUILDPLATFORM golang:1.26@sha256:0f063af2d465d8dcae54cce04278ada488b96f77b42449c8d071e47d016cc65a AS build
WORKDIR /src
ARG TARGETOS TARGETARCH
# Without HTTP/2, which nothing that is asked here needs: it was 350 KB of the binary, 140 KB of them compressed.
ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false -tags=nethttpomithttp2"

# Modules have a layer of their own, and so has most of what the binary links: it lasts until go.mod or go.sum changes.
COPY go.mod go.sum ./
RUN go mod download \
    && GOOS=$TARGETOS GOARCH=$TARGETARCH go build golang.org/x/crypto/ssh github.com/sethvargo/go-githubactions \
        github.com/aws/aws-sdk-go-v2/config github.com/aws/aws-sdk-go-v2/service/s3

COPY . .
# What only people read of the scripts stays with the source, as it is left out on the way to a host: 34 KB compressed.
RUN sed -i '/^[[:blank:]]*# /{/# shellcheck /!d}' scripts/*.sh scripts/lib/*.sh
ARG VERSION=dev
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -ldflags "-s -w -X main.version=$VERSION" -o /out/deploy-action . \
    && ln -s deploy-action /out/deploy-action-post && mkdir -m 1777 /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Holds the binary and an empty /tmp, which is all that RUNNER_TEMP's absence leaves on old runners.
COPY --from=build /out/ /

# With a hundred hosts it is the garbage that is collected more often, and not the runner's memory that is filled.
ENV GOMEMLIMIT=96MiB

# No USER: the runner's file commands (GITHUB_OUTPUT and its kin) belong to its own user and only root may write them.
# Exec form: the binary is process 1, so the runner's signals reach it, and no shell drops inputs with a hyphen.
ENTRYPOINT ["/deploy-action"]
