# An application in Rails with the guide's initializer (LINES). It triggers an event, and
# prints how it answers for the subscriptions of SOCKET. LIBRARIES has checkouts of
# pusher-http-ruby and pusher-signature.
%w[pusher-http-ruby pusher-signature].each { |name| $:.unshift File.join(ENV["LIBRARIES"], name, "lib") }
require "logger"
require "rails"
require "action_controller/railtie"
require "pusher"

class Application < Rails::Application
  config.eager_load = false
  config.secret_key_base = "nobody's"
  config.logger = Logger.new(nil)
  config.hosts.clear
  initializer("pusher") { eval(ENV["LINES"], TOPLEVEL_BINDING) }
end

class PusherController < ActionController::API
  def say
    Pusher.trigger(%w[news private-x], "said", { text: "hi" })
    head :ok
  end

  def auth
    who = { user_id: 7, user_info: { name: "Anna" } } if params[:channel_name].start_with?("presence-")
    render json: Pusher.authenticate(params[:channel_name], params[:socket_id], who)
  end
end

Application.initialize!
Application.routes.draw do
  post "/say" => "pusher#say"
  post "/pusher/auth" => "pusher#auth"
end

def post(path, form = {})
  status, _, body = Application.call(Rack::MockRequest.env_for(path, method: "POST", params: form))
  text = body.enum_for(:each).to_a.join
  abort "#{path}: #{status} #{text}" unless status == 200
  text
end

post "/say"
%w[private-x presence-room].each { |channel| puts post("/pusher/auth", socket_id: ENV["SOCKET"], channel_name: channel) }
