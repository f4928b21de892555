package deploy

// slots starts the new version beside the old one, sends requests to it, and stops the one that has
// none any more.
type slots struct {
	*run
	order  *order
	recipe *recipe
	site   *site
	source *source
}
