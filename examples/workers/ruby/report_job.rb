# sidekiq -r ./report_job.rb

require "json"
require "net/http"
require "sidekiq"

class ReportJob
  include Sidekiq::Worker
  sidekiq_retry_in { |count| [2**count, 60].min }

  def perform(user, month)
    url = "/reports/#{user}/#{month}" # the work
    emit("#{jid}-ready", "user:#{user}", "report ready", { url: url })
  end

  private

  # Returns once the broker has accepted the event; raises otherwise, and Sidekiq runs the job again with the same jid.
  def emit(key, room, event, data)
    headers = { "Authorization" => "Bearer #{ENV.fetch("SIO_API_KEY")}", "Idempotency-Key" => key }
    body = JSON.generate(event: event, rooms: [room], data: data)
    response = Net::HTTP.post(URI("#{ENV.fetch("SIO_API")}/api/emit"), body, headers)
    raise "not accepted: #{response.code} #{response.body}" unless response.is_a?(Net::HTTPSuccess)
  end
end
