// Package images makes the container images of the app, without Dockerfile, base image or engine.
//
// In goes one static Linux binary; out comes an image per service and tag that holds the binary and nothing else, the
// same byte for byte whenever and wherever it is made. All images of a binary share their one layer, so a node pulls it
// once. From there an image goes to a registry (Push), to an engine (LoadIntoEngine) or to a file (Save, Load).
//
// Redis makes an image of the Redis server that is installed here, for clusters that cannot pull one.
package images
