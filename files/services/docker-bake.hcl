# Every image for every architecture, by `docker buildx bake` in this directory; a site's are built by the role images.
#
#   docker buildx bake --set '*.platform=linux/arm64' postgres
variable "BASE" {
  default = "debian:stable-slim"
}

# A registry with a namespace; empty to build without a place to push to.
variable "REPOSITORY" {
  default = "tripod"
}

variable "VERSION" {
  default = "dev"
}

# Of all times in the images, with the exporter's rewrite-timestamp.
variable "SOURCE_DATE_EPOCH" {
  default = "0"
}

group "default" {
  targets = ["services"]
}

target "runtime-base" {
  context   = "base"
  args      = { BASE = BASE, SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH }
  platforms = ["linux/amd64", "linux/arm64"]
}

target "services" {
  name      = service
  matrix    = { service = ["postgres", "flask-backend", "go-backend", "webui", "rabbitmq"] }
  context   = service
  target    = "runtime"
  contexts  = { runtime-base = "target:runtime-base" }
  args      = { BASE = "runtime-base", BUILD_BASE = BASE, SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH }
  platforms = ["linux/amd64", "linux/arm64"]
  tags      = ["${REPOSITORY}/${service}:${VERSION}"]
}
