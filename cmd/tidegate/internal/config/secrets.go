package config

import (
	"errors"
	"os"
	"strings"
)

// readSecrets reads those of the named secrets that are in files.
func (c *reading) readSecrets(names ...string) {
	for _, name := range names {
		switch name {
		case "redis.url":
			c.readSecret(name, &c.config.Redis.URL, c.config.Redis.URLFile)
		case "auth.jwt.secret":
			c.readSecret(name, &c.config.Auth.JWT.Secret, c.config.Auth.JWT.SecretFile)
		case "webhooks.secret":
			c.readSecret(name, &c.config.Webhooks.Secret, c.config.Webhooks.SecretFile)
		}
	}
}

func (c *reading) readSecret(path string, s *Secret, file string) {
	if file == "" {
		return
	}
	if *s != "" {
		c.problem(path, "%s_file is given as well: give one of them", path)
		return
	}
	content, err := SecretFile(file)
	if err != nil {
		c.problem(path+"_file", "%v", err)
		return
	}
	*s = content
}

// SecretFile returns the content of a file without the newlines at its end. An empty
// file is an error.
func SecretFile(file string) (Secret, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		return "", errors.New(file + " is empty")
	}
	return Secret(text), nil
}

func (c *reading) readAPIKeys() {
	keys := c.config.Auth.APIKeys
	for i := range keys {
		path := element("auth.api_keys", i)
		c.readSecret(path+".key", &keys[i].Key, keys[i].KeyFile)
		switch {
		case keys[i].Name == "":
			c.problem(path, "name is missing: it identifies the key in logs and metrics")
		case keys[i].Key == "" && keys[i].KeyFile == "":
			c.problem(path, "give a key or a key_file")
		case keys[i].Key != "":
			if err := keys[i].auth().Validate(); err != nil {
				c.problem(path, "%v", err)
			}
		}
	}
	c.readAPIKeysFile()
}

func (c *reading) readPublicKeys() {
	jwt := &c.config.Auth.JWT
	if jwt.PublicKeyFile == "" {
		return
	}
	var err error
	if jwt.PublicKeys, err = os.ReadFile(jwt.PublicKeyFile); err != nil {
		c.problem("auth.jwt.public_key_file", "%v", err)
	}
}

// readAPIKeysFile reads "name: key" from each line that is not empty and not a # comment.
func (c *reading) readAPIKeysFile() {
	const path = "auth.api_keys_file"
	file := c.config.Auth.APIKeysFile
	if file == "" {
		return
	}
	content, err := os.ReadFile(file)
	if err != nil {
		c.problem(path, "%v", err)
		return
	}
	number := 0
	for line := range strings.Lines(string(content)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, key, ok := strings.Cut(line, ":")
		if !ok {
			c.problems = append(c.problems, problem{path, place{file, number}, "want a line such as \"shop: the-key\""})
			continue
		}
		k := APIKey{Name: strings.TrimSpace(name), Key: Secret(strings.TrimSpace(key))}
		if err := k.auth().Validate(); err != nil {
			c.problems = append(c.problems, problem{path, place{file, number}, err.Error()})
			continue
		}
		c.config.Auth.APIKeys = append(c.config.Auth.APIKeys, k)
	}
}
