// Signs a request with AWS's SDK for Go, or makes a token for a database. Reads what to sign
// from standard input as JSON; writes the headers, or the token.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
)

const emptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

type credentials struct {
	aws.Credentials
}

func (c credentials) Retrieve(context.Context) (aws.Credentials, error) {
	return c.Credentials, nil
}

type wanted struct {
	By, Region, Service string
	Credentials         struct{ AccessKeyID, SecretAccessKey, SessionToken string }
	Request             struct {
		Method, Path, Hostname, Username string
		Headers                          map[string]string
		Port                             int
	}
}

func main() {
	var given wanted
	check(json.NewDecoder(os.Stdin).Decode(&given))
	key := credentials{aws.Credentials{
		AccessKeyID:     given.Credentials.AccessKeyID,
		SecretAccessKey: given.Credentials.SecretAccessKey,
		SessionToken:    given.Credentials.SessionToken,
	}}
	background := context.Background()
	if given.By == "rds" {
		host := fmt.Sprintf("%s:%d", given.Request.Hostname, given.Request.Port)
		token, err := auth.BuildAuthToken(background, host, given.Region, given.Request.Username, key)
		check(err)
		check(json.NewEncoder(os.Stdout).Encode(token))
		return
	}
	url := "https://" + given.Request.Headers["host"] + given.Request.Path
	request, err := http.NewRequest(given.Request.Method, url, nil)
	check(err)
	check(v4.NewSigner().SignHTTP(background, key.Credentials, request, emptySha256,
		given.Service, given.Region, time.Now()))
	headers := map[string]string{"host": request.Host}
	for name, values := range request.Header {
		headers[strings.ToLower(name)] = values[0]
	}
	check(json.NewEncoder(os.Stdout).Encode(headers))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
