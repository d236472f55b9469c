// An OpenID provider for tests: mockoidc with people who sign in with a password, and stay signed in by a cookie.
//
// It is given as JSON on standard input: {"address", "certificate", "key", "clients": [...], "secret", "people": [...]}.
// Nothing here is a model for production.
package main

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"
)

const cookieName = "provider-session"

type person struct {
	mockoidc.MockUser
	Account, Password string
	// Seconds is the life of the ID token, which may be shorter than that of the access token. 0: the same.
	Seconds int
}

// Claims is called for every ID token.
func (p person) Claims(scope []string, claims *mockoidc.IDTokenClaims) (jwt.Claims, error) {
	if p.Seconds > 0 {
		claims.ExpiresAt = jwt.NewNumericDate(claims.IssuedAt.Add(time.Duration(p.Seconds) * time.Second))
	}
	return p.MockUser.Claims(scope, claims)
}

type settings struct {
	Address, Certificate, Key, Secret string
	Clients                           []string
	People                            []person
}

// signIn asks for a password before mockoidc grants a code, which it does for the next user of its queue.
type signIn struct {
	oidc     *mockoidc.MockOIDC
	clients  []string
	people   map[string]person
	mutex    sync.Mutex
	sessions map[string]person
}

func (s *signIn) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		// mockoidc's own store of sessions has no lock.
		s.mutex.Lock()
		defer s.mutex.Unlock()
		// It knows one client at a time.
		if client := request.FormValue("client_id"); slices.Contains(s.clients, client) {
			s.oidc.ClientID = client
		}
		switch request.URL.Path {
		case mockoidc.AuthorizationEndpoint:
			s.authorize(answer, request, next)
		case mockoidc.TokenEndpoint:
			log.Printf("grant: %s", request.FormValue("grant_type"))
			next.ServeHTTP(answer, request)
		default:
			next.ServeHTTP(answer, request)
		}
	})
}

func (s *signIn) authorize(answer http.ResponseWriter, request *http.Request, next http.Handler) {
	if request.Method == http.MethodPost {
		s.checkPassword(answer, request)
		return
	}
	cookie, err := request.Cookie(cookieName)
	if err == nil {
		if found, known := s.sessions[cookie.Value]; known {
			s.oidc.QueueUser(&found)
			next.ServeHTTP(answer, request)
			return
		}
	}
	answer.Header().Set("Content-Type", "text/html")
	fmt.Fprint(answer, `<form method="post"><input name="account"><input name="password" type="password"><button>Sign in</button></form>`)
}

func (s *signIn) checkPassword(answer http.ResponseWriter, request *http.Request) {
	found, known := s.people[request.PostFormValue("account")]
	if !known || found.Password == "" || found.Password != request.PostFormValue("password") {
		http.Error(answer, "wrong password", http.StatusForbidden)
		return
	}
	session := rand.Text()
	s.sessions[session] = found
	http.SetCookie(answer, &http.Cookie{Name: cookieName, Value: session, Path: "/", Secure: true, HttpOnly: true})
	http.Redirect(answer, request, request.URL.String(), http.StatusSeeOther)
}

func serve(given settings) error {
	oidc, err := mockoidc.NewServer(nil)
	if err != nil {
		return err
	}
	oidc.ClientSecret = given.Secret
	signing := &signIn{oidc: oidc, clients: given.Clients, people: map[string]person{}, sessions: map[string]person{}}
	for _, each := range given.People {
		signing.people[each.Account] = each
	}
	mockoidc.ScopesSupported = append(mockoidc.ScopesSupported, "offline_access")
	if err := oidc.AddMiddleware(signing.around); err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(given.Certificate, given.Key)
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	listener, err := net.Listen("tcp", given.Address)
	if err != nil {
		return err
	}
	if err := oidc.Start(tls.NewListener(listener, config), config); err != nil {
		return err
	}
	log.Printf("serving %s", oidc.Issuer())
	return nil
}

func main() {
	var given settings
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		log.Fatal(err)
	}
	if err := serve(given); err != nil {
		log.Fatal(err)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	<-end
}
