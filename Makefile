# Each target says what it does: make help. All but clean first install what the machine lacks for it.

.DEFAULT_GOAL := help
.PHONY: help demo quick test faults fleet-faults soak scale group bench fuzz pictures lint prepare clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: ## redeploy a real application under load, then to three hosts of which one is bad, and see that no request fails
	@e2e/prepare/run.sh demo env CGO_ENABLED=0 go run ./e2e/demo

quick: ## lint what changed, run all tests without hosts and the main scenario with one: before each commit
	@.ci/lint changed
	@e2e/prepare/run.sh quick e2e/prepare/quick.sh

test: ## run all tests, end-to-end ones too
	@e2e/prepare/run.sh test e2e/prepare/test.sh

faults: ## let every fault come over every step of a deployment (takes hours; goes on where an earlier run of it was ended), and write docs/proof/reliability.md
	@e2e/prepare/run.sh faults go test -run TestFaults -timeout 24h ./e2e/faults -places all -report

fleet-faults: ## let faults come over one of three hosts, and two runs want the same hosts 200 times (about an hour), and write docs/proof/fleet-faults.md
	@e2e/prepare/run.sh faults go test -run 'TestFleetFaults|TestOverlappingRuns' -timeout 24h ./e2e/faults -fleet . -fleet-report -rounds 200

soak: ## deploy 1,000 times in a row with faults now and then (about an hour; Ctrl-C ends it with a result), and write docs/proof/soak.md
	@e2e/prepare/run.sh faults go test -run TestSoak -timeout 24h ./e2e/faults -deployments 1000 -soak-report

scale: ## deploy to 100 hosts through one bastion (half an hour), and write docs/proof/scale.md
	@e2e/prepare/run.sh test go test -count=1 -v -run '^TestManyHostsThroughOneBastion$$' -timeout 60m ./e2e -targets 100 -connects 20 -scale-report

group: ## deploy to a group behind a load balancer 20 times, with all that comes over one, and start instances of images (an hour), and write docs/proof/group.md and launch-image.md
	@e2e/prepare/run.sh test go test -count=1 -v -run '^TestAGroup(BehindALoadBalancer|LaunchesAnImageOfTheRelease)$$' -parallel 1 -timeout 120m ./e2e \
	  -group-deployments 20 -group-kills 15 -group-changes 8 -group-refusals -group-report -launches 20 -midways 20 -image-report

bench: ## measure the site's throughput and the time to live
	@e2e/prepare/run.sh bench go test -run '^$$' -bench . -benchtime 1x -timeout 60m ./e2e

fuzz: ## fuzz every target for ten minutes each (FUZZTIME=1m make fuzz for less)
	@.ci/fuzz $(or $(FUZZTIME),10m)

pictures: ## make the pictures in docs/pictures out of real deployments
	@e2e/prepare/run.sh demo e2e/prepare/pictures.sh docs/pictures

lint: ## run the linters
	@.ci/lint

prepare: ## install what is missing, start a container engine if none runs, build the images
	@e2e/prepare/prepare.sh

clean: ## remove the images and what tests that were killed have left, and stop the engine if `make prepare` started it
	@e2e/prepare/clean.sh
