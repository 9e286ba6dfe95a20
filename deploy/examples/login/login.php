<?php
// A backend that tells Tidegate who its users are, in two ways: GET /token signs a token
// for a user, and POST /tidegate answers when Tidegate asks whose a cookie is.
//
//   JWT_SECRET=… WEBHOOK_SECRET=… php -S 127.0.0.1:3000 login.php

function userOf(?string $session): ?string
{
    if (!$session || !preg_match('/^[A-Za-z0-9,-]+$/', $session)) {
        return null;
    }
    session_id($session);
    session_start(['use_strict_mode' => 1, 'read_and_close' => true]);
    return $_SESSION['user'] ?? null;
}

function encode(string $data): string
{
    return rtrim(strtr(base64_encode($data), '+/', '-_'), '=');
}

function sign(array $claims): string
{
    $text = encode('{"alg":"HS256","typ":"JWT"}') . '.' . encode(json_encode($claims));
    return $text . '.' . encode(hash_hmac('sha256', $text, getenv('JWT_SECRET'), true));
}

// Tidegate-Signature: t=1700000000,v1=5257a8…
function isGenuine(string $header, string $body): bool
{
    if (!preg_match('/^t=(\d+),v1=([0-9a-f]+)$/', $header, $fields)) {
        return false;
    }
    $expected = hash_hmac('sha256', "$fields[1].$body", getenv('WEBHOOK_SECRET'));
    return hash_equals($expected, $fields[2]) && abs(time() - (int) $fields[1]) < 300;
}

function answer(int $status, string $body = ''): void
{
    http_response_code($status);
    echo $body;
}

switch ($_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case 'POST /login': // check a password here
        session_start(['cookie_httponly' => true, 'cookie_samesite' => 'Lax']);
        $_SESSION['user'] = $_GET['user'];
        answer(204);
        break;
    case 'GET /token':
        $user = userOf($_COOKIE[session_name()] ?? null);
        $user === null ? answer(401, 'log in first') : answer(200, sign(['sub' => $user, 'exp' => time() + 600]));
        break;
    case 'POST /tidegate':
        $body = file_get_contents('php://input');
        if (!isGenuine($_SERVER['HTTP_TIDEGATE_SIGNATURE'] ?? '', $body)) {
            answer(401, 'who are you?');
            break;
        }
        $question = json_decode($body, true);
        if ($question['event'] !== 'connect' || !empty($question['user'])) {
            answer(204); // a token has already identified the user
            break;
        }
        preg_match('/(?:^|; )' . session_name() . '=([^;]+)/', $question['headers']['Cookie'][0] ?? '', $found);
        $user = userOf($found[1] ?? null);
        answer(200, json_encode($user !== null
            ? ['allow' => true, 'user' => $user]
            : ['allow' => false, 'code' => 'unauthenticated', 'message' => 'log in first']));
        break;
    default:
        answer(404);
}
