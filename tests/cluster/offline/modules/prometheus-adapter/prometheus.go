package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Prometheus, by its HTTP API.
type prometheus struct {
	url    string
	client *http.Client
}

// Values of a query, by the value of one of their labels.
func (p *prometheus) query(ctx context.Context, query, label string) (map[string]float64, error) {
	var vector struct {
		Result []struct {
			Metric map[string]string `json:"metric"`
			// A time, and a value as text.
			Value [2]any `json:"value"`
		} `json:"result"`
	}
	if err := p.ask(ctx, "query", url.Values{"query": {query}}, &vector); err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for _, sample := range vector.Result {
		text, _ := sample.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			values[sample.Metric[label]] = value
		}
	}
	return values, nil
}

// Whether there was a series of late.
func (p *prometheus) has(ctx context.Context, series string, maxAge time.Duration) (bool, error) {
	var found []map[string]string
	err := p.ask(ctx, "series", url.Values{
		"match[]": {series},
		"start":   {strconv.FormatInt(time.Now().Add(-maxAge).Unix(), 10)},
		"limit":   {"1"},
	}, &found)
	return len(found) > 0, err
}

func (p *prometheus) ask(ctx context.Context, endpoint string, form url.Values, data any) error {
	address := strings.TrimSuffix(p.url, "/") + "/api/v1/" + endpoint
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Data  any    `json:"data"`
		Error string `json:"error"`
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, answer.Error)
	}
	return nil
}
