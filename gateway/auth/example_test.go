package auth_test

import (
	"context"
	"fmt"

	"tidegate/gateway/auth"
)

func Example() {
	const secret = "made by: openssl rand -hex 32 (at least 32 bytes)"
	authenticator, err := auth.New(auth.Config{
		Keys: []auth.APIKey{{Name: "shop", Key: "made by: openssl rand -hex 24"}},
		JWT:  auth.JWT{Secret: secret},
	})
	if err != nil {
		panic(err)
	}
	key, err := auth.NewSigningSecret(secret)
	if err != nil {
		panic(err)
	}
	token, err := auth.Sign(auth.Claims{User: "alice", Subscribe: []string{"chat:*"}}, key, "")
	if err != nil {
		panic(err)
	}

	client, err := authenticator.Authenticate(context.Background(), token)
	fmt.Println(client.User, client.Subscribe, err)
	backend, err := authenticator.Authenticate(context.Background(), "made by: openssl rand -hex 24")
	fmt.Println(backend.Key, err)
	_, err = authenticator.Authenticate(context.Background(), "a guess")
	fmt.Println(err)
	// Output:
	// alice [chat:*] <nil>
	// shop <nil>
	// unauthenticated: the credential is neither an API key of this gateway nor a JWT
}
