package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthcheckCommand is what a container's health check calls: the image holds this binary and nothing else, no curl.
func healthcheckCommand(p process) *cobra.Command {
	timeout := 2 * time.Second
	c := &cobra.Command{
		Use:     "healthcheck URL",
		Short:   "Exit 0 if the URL answers with a status below 400 (for health checks in containers)",
		Example: "  coinbench healthcheck http://127.0.0.1:8081/healthz",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client := &http.Client{Timeout: timeout, Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
			resp, err := client.Get(args[0])
			if err != nil {
				return withCode(exitFail, fmt.Errorf("healthcheck: %w", err))
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
			if resp.StatusCode >= 400 {
				return withCode(exitFail, fmt.Errorf("healthcheck: %s: %s", resp.Status, body))
			}
			fmt.Fprintln(p.stdout, resp.Status)
			return nil
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", timeout, "give up after this time")
	return c
}
