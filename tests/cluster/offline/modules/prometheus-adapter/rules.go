package main

import (
	"fmt"
	"os"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

// A rule makes a metric of pods from a series of Prometheus.
type rule struct {
	// Which series there must be.
	seriesQuery string
	// The name of those series.
	series string
	// The metric's name.
	name string
	// The query for its values.
	query *template.Template
	// The labels of a series that name its pod and its namespace.
	podLabel, namespaceLabel string
}

// The part of prometheus-adapter's file that is read here; anything else in it is an error.
type rulesFile struct {
	Rules []struct {
		SeriesQuery string `json:"seriesQuery"`
		Resources   struct {
			Overrides map[string]struct {
				Resource string `json:"resource"`
			} `json:"overrides"`
		} `json:"resources"`
		Name struct {
			As string `json:"as"`
		} `json:"name"`
		MetricsQuery string `json:"metricsQuery"`
	} `json:"rules"`
}

func readRules(path string) ([]rule, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file rulesFile
	if err := yaml.UnmarshalStrict(content, &file); err != nil {
		return nil, err
	}
	var rules []rule
	for index, written := range file.Rules {
		series, _, _ := strings.Cut(written.SeriesQuery, "{")
		read := rule{seriesQuery: written.SeriesQuery, series: series, name: written.Name.As}
		for label, of := range written.Resources.Overrides {
			switch of.Resource {
			case "pod":
				read.podLabel = label
			case "namespace":
				read.namespaceLabel = label
			}
		}
		if read.series == "" || read.name == "" || read.podLabel == "" || read.namespaceLabel == "" {
			return nil, fmt.Errorf("rule %d lacks a series, a name, or the labels of pod and namespace", index)
		}
		read.query, err = template.New(read.name).Delims("<<", ">>").Option("missingkey=error").Parse(written.MetricsQuery)
		if err != nil {
			return nil, err
		}
		rules = append(rules, read)
	}
	return rules, nil
}

// The query for some pods of a namespace.
func (r rule) queryFor(namespace string, pods []string) (string, error) {
	var text strings.Builder
	err := r.query.Execute(&text, map[string]string{
		"Series":        r.series,
		"LabelMatchers": fmt.Sprintf("%s=%q,%s=~%q", r.namespaceLabel, namespace, r.podLabel, strings.Join(pods, "|")),
		"GroupBy":       r.podLabel,
	})
	return text.String(), err
}
