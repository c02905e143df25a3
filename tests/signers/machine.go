// Reads an object, again and again, with credentials that AWS's SDK for Go finds by itself.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func main() {
	background := context.Background()
	seconds, err := strconv.ParseFloat(os.Args[2], 64)
	check(err)
	loaded, err := config.LoadDefaultConfig(background,
		config.WithRegion(os.Args[3]), config.WithRetryMaxAttempts(1))
	check(err)
	client := s3.NewFromConfig(loaded, func(options *s3.Options) {
		options.BaseEndpoint = aws.String(os.Args[1])
		options.UsePathStyle = true
	})
	end, calls := time.Now().Add(time.Duration(seconds*float64(time.Second))), 0
	wanted := &s3.GetObjectInput{Bucket: aws.String("reports"), Key: aws.String("q3.csv")}
	for time.Now().Before(end) {
		found, err := client.GetObject(background, wanted)
		check(err)
		_, err = io.Copy(io.Discard, found.Body)
		check(err)
		check(found.Body.Close())
		calls++
		time.Sleep(200 * time.Millisecond)
	}
	check(json.NewEncoder(os.Stdout).Encode(map[string]int{"calls": calls}))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
