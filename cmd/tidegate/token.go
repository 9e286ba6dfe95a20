package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tidegate/cmd/tidegate/internal/config"
	"tidegate/gateway/auth"
)

func newTokenCommand() *cobra.Command {
	var t tokenRequest
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Create a token for a client",
		Long: `Create a JSON Web Token for a client, for testing. It is signed with the given key or, if
there is none, with auth.jwt.secret of the configuration, which also provides the issuer
and the audience. Without a configuration the token is for a development gateway on this
machine. Prints only the token.`,
		Example: `  tidegate token --user alice
  tidegate token --config tidegate.yaml --user alice
  tidegate token --secret-file jwt.secret --user alice --subscribe 'chat:*' --ttl 10m
  tidegate token --key-file private.pem --kid 2026-a --user alice --info '{"name":"Alice"}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.run(cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	t.settings = config.NewSource(flags, os.Environ())
	flags.StringVar(&t.secret, "secret", "", "HMAC secret, visible in the process list: prefer --secret-file")
	flags.StringVar(&t.secretFile, "secret-file", "", "`file` that holds the HMAC secret")
	flags.StringVar(&t.keyFile, "key-file", "", "`file` of an RSA, ECDSA or Ed25519 private key, PEM")
	flags.StringVar(&t.kid, "kid", "", "name of the key in the JWKS")
	flags.StringVar(&t.claims.User, "user", "", "the user (sub); if not set, the token is anonymous")
	flags.DurationVar(&t.ttl, "ttl", time.Hour, "how long the token is valid; 0: forever")
	flags.StringVar(&t.info, "info", "", "`JSON` shown with the user in presence")
	flags.StringArrayVar(&t.claims.Subscribe, "subscribe", nil, "`pattern` of channels to subscribe to, for rules with token; repeatable")
	flags.StringArrayVar(&t.claims.Publish, "publish", nil, "`pattern` of channels to publish to, for rules with token; repeatable")
	flags.StringArrayVar(&t.claims.Channels, "channels", nil, "`channel` to be subscribed to on connect; repeatable")
	flags.StringVar(&t.claims.Issuer, "issuer", "", "iss (default: from the configuration)")
	flags.StringArrayVar(&t.claims.Audience, "audience", nil, "aud; repeatable (default: from the configuration)")
	flags.BoolVarP(&t.verbose, "verbose", "v", false, "print the token's claims on standard error")
	cmd.MarkFlagsMutuallyExclusive("secret", "secret-file", "key-file")
	return cmd
}

// tokenRequest holds the command line's options.
type tokenRequest struct {
	settings                         *config.Source
	secret, secretFile, keyFile, kid string
	info                             string
	ttl                              time.Duration
	claims                           auth.Claims
	verbose                          bool
}

func (t *tokenRequest) run(out, details io.Writer) error {
	settings, err := t.read()
	if err != nil {
		return err
	}
	token, err := t.sign(settings)
	if err != nil {
		return err
	}
	if t.verbose {
		key, _ := t.signingKey(settings) // cannot fail: the key has just signed
		t.explain(details, key)
	}
	_, err = fmt.Fprintln(out, token)
	return err
}

func (t *tokenRequest) sign(settings *config.Config) (string, error) {
	key, err := t.signingKey(settings)
	if err != nil {
		return "", err
	}
	if err := t.completeClaims(settings); err != nil {
		return "", err
	}
	return auth.Sign(t.claims, key, t.kid)
}

// read returns the gateway's settings for tokens, from its file and the environment.
func (t *tokenRequest) read() (*config.Config, error) {
	if t.ownKey() {
		return t.settings.Read()
	}
	return t.settings.Read("auth.jwt.secret")
}

func (t *tokenRequest) ownKey() bool { return t.secret != "" || t.secretFile != "" || t.keyFile != "" }

func (t *tokenRequest) signingKey(settings *config.Config) (auth.SigningKey, error) {
	switch {
	case t.keyFile != "":
		document, err := os.ReadFile(t.keyFile)
		if err != nil {
			return auth.SigningKey{}, err
		}
		key, err := auth.ParseSigningKey(document)
		if err != nil {
			return auth.SigningKey{}, fmt.Errorf("%s: %w", t.keyFile, err)
		}
		return key, nil
	case t.secretFile != "":
		secret, err := config.SecretFile(t.secretFile)
		if err != nil {
			return auth.SigningKey{}, err
		}
		return auth.NewSigningSecret(string(secret))
	case t.secret != "":
		return auth.NewSigningSecret(t.secret)
	case settings.Trust().JWT.Secret != "":
		return auth.NewSigningSecret(settings.Trust().JWT.Secret)
	case settings.Auth.JWT.Given():
		return auth.SigningKey{}, errors.New("the gateway verifies tokens by a public key: give the private one as --key-file")
	default:
		return auth.SigningKey{}, errors.New("no key to sign with: give --secret-file, --key-file, or a --config that has auth.jwt.secret")
	}
}

// completeClaims adds the claims that have no flag of the same name.
func (t *tokenRequest) completeClaims(settings *config.Config) error {
	if t.info != "" {
		if !json.Valid([]byte(t.info)) {
			return errors.New(`--info is not JSON: want something like '{"name":"Alice"}'`)
		}
		t.claims.Info = json.RawMessage(t.info)
	}
	t.claims.Issuer = cmp.Or(t.claims.Issuer, settings.Auth.JWT.Issuer)
	if t.claims.Audience == nil && settings.Auth.JWT.Audience != "" {
		t.claims.Audience = []string{settings.Auth.JWT.Audience}
	}
	if t.ttl < 0 {
		return errors.New("--ttl is negative: the token would have expired")
	}
	t.claims.IssuedAt = time.Now()
	if t.ttl > 0 {
		t.claims.Expires = t.claims.IssuedAt.Add(t.ttl)
	}
	return nil
}

func (t *tokenRequest) explain(details io.Writer, key auth.SigningKey) {
	claims, _ := json.Marshal(t.claims) // cannot fail: the claims have been signed
	until := "for ever"
	if !t.claims.Expires.IsZero() {
		until = "until " + t.claims.Expires.Format(time.RFC3339)
	}
	fmt.Fprintf(details, "algorithm: %s\nclaims: %s\nvalid: %s\n", key.Algorithm(), claims, until)
}
