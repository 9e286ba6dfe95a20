<?php
// An application in Laravel, whose config/broadcasting.php has the guide's lines (LINES). It
// broadcasts an event, and prints how it answers for the subscriptions of SOCKET. LIBRARIES
// has a checkout of pusher-http-php.
require 'Illuminate/autoload.php';
require 'GuzzleHttp/autoload.php';
spl_autoload_register(function (string $class) {
    if (str_starts_with($class, 'Pusher\\')) {
        require getenv('LIBRARIES') . '/pusher-http-php/src/' . strtr(substr($class, 7), '\\', '/') . '.php';
    }
});

use Illuminate\Broadcasting\{BroadcastEvent, BroadcastManager, Channel, PrivateChannel};
use Illuminate\Contracts\Broadcasting\ShouldBroadcastNow;

class Said implements ShouldBroadcastNow
{
    public $text = 'hi';

    public function broadcastOn() { return [new Channel('news'), new PrivateChannel('x')]; }

    public function broadcastAs() { return 'said'; }
}

class Anna
{
    public function getAuthIdentifier() { return 7; }

    public function getAuthIdentifierForBroadcasting() { return 7; }
}

$application = new Illuminate\Container\Container;
Illuminate\Container\Container::setInstance($application);
$application['config'] = new Illuminate\Config\Repository([
    'broadcasting' => ['default' => 'pusher', 'connections' => eval('return [' . getenv('LINES') . '];')],
]);
$manager = new BroadcastManager($application);
(new BroadcastEvent(new Said))->handle($manager);

$broadcaster = $manager->connection();
$broadcaster->channel('x', fn ($user) => true);
$broadcaster->channel('room', fn ($user) => ['name' => 'Anna']);
foreach (['private-x', 'presence-room'] as $channel) {
    $request = Illuminate\Http\Request::create('/broadcasting/auth', 'POST', ['socket_id' => getenv('SOCKET'), 'channel_name' => $channel]);
    $request->setUserResolver(fn () => new Anna);
    $answer = $broadcaster->auth($request);
    echo is_string($answer) ? $answer : json_encode($answer), "\n";
}
